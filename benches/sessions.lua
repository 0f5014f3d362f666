-- wrk: each request with the next session's cookie. Arguments: file of cookies, longest pause in ms (0: none).
local requests, at, pause = {}, 0, 0

function init(args)
  for cookie in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", "/", { ["Cookie"] = cookie, ["Accept"] = "*/*" })
  end
  pause = tonumber(args[2] or "0")
  -- wrk asks for a pause before each request whenever the function exists.
  if pause > 0 then
    delay = function() return math.random(1, pause) end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("RESULT %.0f %d %.0f %.0f %.0f\n", summary.requests / summary.duration * 1e6, failed,
    latency:percentile(50), latency:percentile(99), summary.requests))
end
