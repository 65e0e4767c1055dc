#!lua name=clarion_needed
-- clarion_needed: the oldest entry of a partition that somebody still waits for.
--
-- KEYS[1]  {ns/broker/p}
--
-- Returns {floor, id, ...}: the floor, the first entry of every backlog, the oldest of each trigger that waits
-- for a retry. The least of them bounds retention. Dead letters hold their own copy of the event and need none; their
-- places are negative. What was spared (spare.lua) needs none either.

local function first(key, after)
  return redis.call('ZRANGEBYSCORE', key, '(' .. after, '+inf', 'LIMIT', 0, 1)[1]
end

redis.register_function{function_name = 'clarion_needed', flags = {'no-writes'}, callback = function(keys)
  local tag = keys[1]
  local needed = {redis.call('HGET', tag .. ':state', 'floor') or '0-0'}
  local spared = redis.call('HGET', tag .. ':state', 'spared') or '-1'
  for _, uid in ipairs(redis.call('SMEMBERS', tag .. ':lanes')) do
    local member = first(tag .. ':backlog:' .. uid, spared) -- "ref attempt"
    if member then
      needed[#needed + 1] = member:match('^%S+')
    end
    local waiting = first(tag .. ':waiting:' .. uid, spared) -- "attempt ref"
    if waiting then
      needed[#needed + 1] = waiting:match('(%S+)$')
    end
  end
  return needed
end}
