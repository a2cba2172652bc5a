-- Hint for the intake of qsm-operator, for an Orthanc without the Python plug-in: tells that a series has become stable.
--
-- Prefer qsm_hint.py. Orthanc runs one piece of Lua at a time and asks Lua about each image it stores, so Lua must not
-- wait. Where the program curl is installed beside Orthanc, it sends the hints in the background. Where it is not, Orthanc
-- sends it and waits; after a hint that failed, none is sent for a minute, then two, up to 16, so that a receiver that
-- hangs costs one waiting time in each pause. Without curl set "HttpTimeout" : 1 in Orthanc's configuration (it holds for
-- everything Orthanc sends by HTTP; Orthanc 1.11.1 and newer get it from this script), and for https
-- "HttpsCACertificates". What is not told, intake finds in the change log.
--
-- Configuration: "LuaScripts" : [ "/etc/orthanc/qsm_hint.lua" ]. From the environment: QSM_HINT_URL (without it the
-- script does nothing), QSM_HINT_TOKEN_FILE or QSM_HINT_TOKEN, QSM_HINT_CA_FILE (for curl), QSM_HINT_CURL=no (let
-- Orthanc send). Nothing but Orthanc's identifier of the series is sent. The token is on no command line.

local TIMEOUT_SECONDS, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1, 60, 960

local url = os.getenv("QSM_HINT_URL") or ""
local pause, silent_until = 0, 0

-- Reads identifiers, one in a line, and has each sent in the background. It ends when Orthanc does. The shell takes
-- address and token from the environment and gives them to curl through a pipe.
local HELPER = [[
while read -r series; do
  {
    if [ -n "$QSM_HINT_TOKEN_FILE" ]; then token=$(cat "$QSM_HINT_TOKEN_FILE"); else token=$QSM_HINT_TOKEN; fi
    if [ -n "$token" ]; then printf 'header = "Authorization: Bearer %s"\n' "$token"; fi
    if [ -n "$QSM_HINT_CA_FILE" ]; then printf 'cacert = "%s"\n' "$QSM_HINT_CA_FILE"; fi
    printf 'url = "%s"\ndata = "{\\"series\\": \\"%s\\"}"\n' "$QSM_HINT_URL" "$series"
  } | curl --silent --max-time 2 --noproxy '*' --header 'Content-Type: application/json' --config - >/dev/null 2>&1 &
done]]

local function has_curl()
  if os.getenv("QSM_HINT_CURL") == "no" then
    return false
  end
  local answer = os.execute("command -v curl >/dev/null 2>&1")
  return answer == true or answer == 0 -- Lua 5.2 and newer, Lua 5.1
end

local function token()
  local path = os.getenv("QSM_HINT_TOKEN_FILE")
  if not path then
    return os.getenv("QSM_HINT_TOKEN") or ""
  end
  local file = io.open(path, "r")
  if not file then
    print("qsm-hint: the token file cannot be read")
    return ""
  end
  local content = file:read("*a")
  file:close()
  return (content:gsub("%s+$", ""))
end

local function send_and_wait(series)
  if os.time() < silent_until then
    return
  end
  local headers = { ["Content-Type"] = "application/json" }
  local word = token()
  if word ~= "" then
    headers["Authorization"] = "Bearer " .. word
  end
  if SetHttpTimeout then -- Orthanc 1.11.1 or newer
    SetHttpTimeout(TIMEOUT_SECONDS)
  end
  if HttpPost(url, '{"series": "' .. series .. '"}', headers) then
    pause = 0
    return
  end
  pause = math.min(math.max(2 * pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
  silent_until = os.time() + pause
  print("qsm-hint: not delivered, none is sent for " .. pause .. " s; intake finds the series in the change log")
end

if url == "" then
  print("qsm-hint: QSM_HINT_URL is not set, no hints are sent")
else
  -- Started now: later it would inherit Orthanc's open ports, and keep them when Orthanc is killed.
  local helper = has_curl() and io.popen(HELPER, "w")
  if not helper then
    print("qsm-hint: no curl beside Orthanc: storing waits for each hint")
  end

  function OnStableSeries(series, tags, metadata)
    if helper and not (helper:write(series, "\n") and helper:flush()) then
      print("qsm-hint: the helper is gone: storing waits for each hint")
      helper = nil
    end
    if not helper then
      send_and_wait(series)
    end
  end
end
