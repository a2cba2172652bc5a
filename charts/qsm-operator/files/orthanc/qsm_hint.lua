-- Hint for the intake of qsm-operator, for an Orthanc without the Python plug-in: tells that a series has become stable.
--
-- Prefer qsm_hint.py. Orthanc runs one piece of Lua at a time and asks Lua about each image it stores, so a receiver that
-- hangs holds up storing (docs/routes.md tells how long). Set "HttpTimeout" : 2 in Orthanc's configuration (it holds for
-- everything Orthanc sends by HTTP), and for https "HttpsCACertificates".
--
-- Configuration: "LuaScripts" : [ "/etc/orthanc/qsm_hint.lua" ]. From the environment: QSM_HINT_URL (without it the
-- script does nothing), QSM_HINT_TOKEN_FILE or QSM_HINT_TOKEN. Nothing but Orthanc's identifier of the series is sent.

local url = os.getenv("QSM_HINT_URL") or ""

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

if url == "" then
  print("qsm-hint: QSM_HINT_URL is not set, no hints are sent")
else
  function OnStableSeries(series, tags, metadata)
    local headers = { ["Content-Type"] = "application/json" }
    local word = token()
    if word ~= "" then
      headers["Authorization"] = "Bearer " .. word
    end
    if SetHttpTimeout then -- Orthanc 1.11.1 or newer
      SetHttpTimeout(2)
    end
    -- Orthanc logs what goes wrong and returns nil.
    HttpPost(url, '{"series": "' .. series .. '"}', headers)
  end
end
