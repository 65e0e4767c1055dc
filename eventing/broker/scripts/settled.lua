#!lua name=clarion_settled
-- clarion_settled: of which triggers a partition has nothing left that came up to some time.
--
-- KEYS[1]  {ns/broker/p}
-- ARGV[1]  Unix ms
-- ARGV[2..] uids of triggers
--
-- Returns those uids: nothing that came until then is unsettled above the floor, in a backlog or waits for a retry.
-- None while that time is not past by this clock, which gives the entries their ids.
redis.register_function{function_name = 'clarion_settled', flags = {'no-writes'}, callback = function(keys, args)
  local tag, settled, now = keys[1], {}, redis.call('TIME')
  if tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) <= tonumber(args[1]) then
    return settled
  end
  local floor = redis.call('HGET', tag .. ':state', 'floor') or '0-0'
  if redis.call('XRANGE', tag .. ':events', '(' .. floor, args[1], 'COUNT', 1)[1] then
    return settled
  end
  local upto = string.format('(%.0f', (tonumber(args[1]) + 1) * 2048) -- a PLACE: eventing/keys.py
  for i = 2, #args do
    local left = 0
    for _, name in ipairs({'backlog', 'waiting'}) do
      left = left + redis.call('ZCOUNT', tag .. ':' .. name .. ':' .. args[i], 0, upto)
    end
    if left == 0 then
      settled[#settled + 1] = args[i]
    end
  end
  return settled
end}
