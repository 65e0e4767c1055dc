#!lua name=clarion_kept
-- clarion_kept: how much is kept in a partition, and since when it waits; for its owner's metrics and for people.
--
-- KEYS[1]  {ns/broker/p}
-- ARGV[1]  id of the last entry that its owner has read; "": the floor
-- ARGV[2..] uids of triggers; none: all that have something waiting
--
-- Returns {id of the last entry, id of the first that is not read or "", then for each trigger: uid, entries in
-- its backlog, retries, dead letters, place of the oldest event among the first two or ""}.

-- Entries in the sorted set *key*; and the place of the oldest event in it, if that is before *least*.
local function waits(key, least)
  local count = redis.call('ZCARD', key)
  local place = count > 0 and redis.call('ZRANGEBYSCORE', key, 0, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  if place and (least == '' or tonumber(place) < tonumber(least)) then
    least = place
  end
  return count, least
end

redis.register_function{function_name = 'clarion_kept', flags = {'no-writes'}, callback = function(keys, args)
  local tag, cursor = keys[1], args[1]
  if cursor == '' then
    cursor = redis.call('HGET', tag .. ':state', 'floor') or '0-0'
  end
  local last = redis.call('XREVRANGE', tag .. ':events', '+', '-', 'COUNT', 1)[1]
  local unread = redis.call('XRANGE', tag .. ':events', '(' .. cursor, '+', 'COUNT', 1)[1]
  local kept = {last and last[1] or '0-0', unread and unread[1] or ''}
  local uids = #args > 1 and {unpack(args, 2)} or redis.call('SMEMBERS', tag .. ':lanes')
  for _, uid in ipairs(uids) do
    local backlog, waiting, least = 0, 0, ''
    backlog, least = waits(tag .. ':backlog:' .. uid, least)
    waiting, least = waits(tag .. ':waiting:' .. uid, least)
    for _, value in ipairs({uid, backlog, waiting, redis.call('XLEN', tag .. ':dead:' .. uid), least}) do
      kept[#kept + 1] = value
    end
  end
  return kept
end}
