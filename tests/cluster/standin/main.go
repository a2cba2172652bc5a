// Stand-in: the one program of the test image. Without arguments it is the sandbox that holds a pod's namespaces; with
// arguments it is a container that behaves as told, so that a real node can be tested before a real image is built.
//
//	standin                                        wait for SIGTERM, collect orphans
//	standin --after 2s --exit 65 --message '{..}'  end so, with that termination message
//	standin --memory 512                           touch that many MiB first (to be killed for it)
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	after := flag.Duration("after", 0, "how long to run before ending")
	code := flag.Int("exit", 0, "exit code")
	message := flag.String("message", "", "termination message")
	path := flag.String("message-path", "/dev/termination-log", "where the termination message goes")
	memory := flag.Int("memory", 0, "MiB to touch")
	flag.Parse()

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	if len(os.Args) == 1 {
		for received := range signals {
			if received != syscall.SIGCHLD {
				return
			}
			// Orphans of the other containers end up here when they share the process namespace.
			for {
				if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
					break
				}
			}
		}
	}

	held := make([]byte, *memory<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	fmt.Printf("stand-in: user %d, %d MiB held, ends in %s with %d\n", os.Getuid(), len(held)>>20, *after, *code)
	deadline := time.After(*after)
	for {
		select {
		case received := <-signals:
			if received != syscall.SIGCHLD {
				os.Exit(143)
			}
		case <-deadline:
			if *message != "" {
				if err := os.WriteFile(*path, []byte(*message), 0o644); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
			os.Exit(*code)
		}
	}
}
