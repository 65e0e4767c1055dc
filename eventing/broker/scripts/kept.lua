#!lua name=clarion_kept
-- clarion_kept: how much is kept in a partition, for its owner's metrics.
--
-- KEYS[1]  {ns/broker/p}
--
-- Returns {id of the last entry, retries that wait, uid, entries in its backlog, its dead letters, ...}.
redis.register_function{function_name = 'clarion_kept', flags = {'no-writes'}, callback = function(keys)
  local tag = keys[1]
  local last = redis.call('XREVRANGE', tag .. ':events', '+', '-', 'COUNT', 1)[1]
  local kept = {last and last[1] or '0-0', redis.call('ZCARD', tag .. ':retries')}
  for _, uid in ipairs(redis.call('SMEMBERS', tag .. ':lanes')) do
    kept[#kept + 1] = uid
    kept[#kept + 1] = redis.call('ZCARD', tag .. ':backlog:' .. uid)
    kept[#kept + 1] = redis.call('XLEN', tag .. ':dead:' .. uid)
  end
  return kept
end}
