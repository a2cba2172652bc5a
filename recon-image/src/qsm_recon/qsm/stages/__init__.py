"""The stages of the chain, a file each: what a stage is given, what it hands on, which methods it calls.

A stage computes from its arguments alone. So its arguments and the code that its file can reach are all a result
depends on, and a result that was kept may be used again exactly where all of that is the same. For the same reason
this file imports nothing: what it imported would count as part of every stage.
"""
