#!lua name=clarion_draw
-- clarion_draw: what waits in backlogs and is to be sent now, with its events; retries that are due come first
-- into the backlog of their trigger.
--
-- KEYS[1]  {ns/broker/p}
-- ARGV[1]  epoch
-- ARGV[2]  now, Unix time in ms
-- ARGV[3]  most retries to move in one call
-- ARGV[4]  about how many bytes of events to return in one call
-- ARGV[5]  JSON {uid: [most entries to return, ["ref attempt" that the owner has in hand, ...]]}
-- ARGV[6]  number of the draw in this epoch; one whose answer may have been lost is asked for with its own again
--
-- A ref is what waits: an entry's id; d and the id of a dead letter on its way to the sink; r and the id of
-- a dead letter to be sent to the subscriber again.
-- Returns {next due or "", {uid that got a retry from the draw of this number, ...}, {{uid, 1 if there is more,
-- "ref attempt", {field, value, ...}, ...}, ...}}; no fields: there is no such entry.
-- Nothing leaves a backlog here: that is a commit's work. Refused with FENCED when there is a newer epoch.

-- What the draw `name` has moved before; its owner may never have heard of it.
local function moved_before(tag, name)
  local touched, known = {}, {}
  local told = redis.call('HGET', tag .. ':state', 'drawn') or ''
  if told:sub(1, #name + 1) == name .. ' ' then
    for uid in told:sub(#name + 2):gmatch('%S+') do
      known[uid] = true
      touched[#touched + 1] = uid
    end
  end
  return touched, known
end

-- PLACE (eventing/keys.py) of what is not in the set where it should be: other layouts had it elsewhere, and one
-- such retry must not hold up the partition.
local function place_of(ref)
  local kind, ms, seq = ref:match('^([dr]?)(%d+)-(%d+)$')
  return string.format('%.0f', ms * 2048 + seq - (kind == '' and 0 or 2 ^ 53))
end

local function move_due(tag, now, most, name)
  local touched, known = moved_before(tag, name)
  local due = redis.call('ZRANGEBYSCORE', tag .. ':retries', '-inf', now, 'LIMIT', 0, most)
  for _, member in ipairs(due) do
    local uid, attempt, ref = member:match('^(%S+) (%d+) (%S+)$')
    local waiting = tag .. ':waiting:' .. uid
    local place = redis.call('ZSCORE', waiting, attempt .. ' ' .. ref) or place_of(ref)
    redis.call('ZADD', tag .. ':backlog:' .. uid, place, ref .. ' ' .. attempt)
    redis.call('ZREM', tag .. ':retries', member)
    redis.call('ZREM', waiting, attempt .. ' ' .. ref)
    if not known[uid] then
      known[uid] = true
      touched[#touched + 1] = uid
    end
  end
  if #due > 0 then
    redis.call('HSET', tag .. ':state', 'drawn', name .. ' ' .. table.concat(touched, ' '))
  end
  return touched
end

local function find(tag, uid, ref)
  local kind = ref:sub(1, 1)
  if kind == 'd' or kind == 'r' then
    local letter = redis.call('XRANGE', tag .. ':dead:' .. uid, ref:sub(2), ref:sub(2))[1]
    return letter and letter[2] or {}
  end
  local entry = redis.call('XRANGE', tag .. ':events', ref, ref)[1]
  if entry then
    return entry[2]
  end
  local spared = redis.call('HGET', tag .. ':spared', ref) -- retention went past it: spare.lua
  return spared and cmsgpack.unpack(spared) or {}
end

local function draw(tag, uid, most, held, bytes)
  local in_hand = {}
  for _, member in ipairs(held) do
    in_hand[member] = true
  end
  local drawn = {uid, 0}
  for _, member in ipairs(redis.call('ZRANGE', tag .. ':backlog:' .. uid, 0, #held + most)) do
    if not in_hand[member] then
      if #drawn >= 2 + most * 2 or bytes <= 0 then
        drawn[2] = 1
        break
      end
      local fields = find(tag, uid, member:match('^%S+'))
      for i = 2, #fields, 2 do
        bytes = bytes - #fields[i]
      end
      drawn[#drawn + 1] = member
      drawn[#drawn + 1] = fields
    end
  end
  return drawn, bytes
end

redis.register_function{function_name = 'clarion_draw', flags = {'allow-oom'}, callback = function(keys, args)
  local tag = keys[1]
  if redis.call('GET', tag .. ':epoch') ~= args[1] then
    return redis.error_reply('FENCED another dispatcher owns this partition')
  end
  local touched = move_due(tag, args[2], args[3], args[1] .. '/' .. args[6])
  local answer, bytes = {}, tonumber(args[4])
  for uid, want in pairs(cjson.decode(args[5])) do
    answer[#answer + 1], bytes = draw(tag, uid, want[1], want[2], bytes)
  end
  return {redis.call('ZRANGE', tag .. ':retries', 0, 0, 'WITHSCORES')[2] or '', touched, answer}
end}
