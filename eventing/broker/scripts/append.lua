#!lua name=clarion_append
-- clarion_append: add events to the end of partitions, all or none.
--
-- KEYS  {ns/broker/p}:events, the stream of each partition that gets some; several only for a batch
-- ARGV  for each key in turn
--         shapes  one character an event, in order: "-" no data, "d" data,
--                 "N" and "D" the same for an event that is held until it is due
--         window  ms for which an event that is sent again is known; "0": repeats are not looked for
--         for each event in turn
--           digest      of source and id, if there is a window
--           due         Unix ms, if it is held
--           attributes  a JSON object of strings
--           data        if it has data
--
-- Returns how many events had been sent before: they are not stored again.
--
-- The clock stands still while a function runs. What is known of repeats is written with the events, so it
-- is as durable. It is bounded: SEEN a partition, the oldest are forgotten first.
-- Refused before anything is written: out of memory, read-only replica, disk that cannot be written.
local SEEN = 500000 -- about 60 MB
local SWEEP = 2     -- expired digests removed for each event: more than come in, and never many at once

local CROWDED = 1000 -- entries of one millisecond; a call adds as many at the most

-- PLACE (eventing/keys.py) tells 2,048 entries of one millisecond apart. After the clock was stepped back the
-- store goes on numbering those of the last one's millisecond, for as long as the step was: so it is left.
local function leave_crowded(stream, id)
  local millisecond, sequence = id:match('^(%d+)%-(%d+)$')
  if tonumber(sequence) >= CROWDED then
    redis.call('XSETID', stream, string.format('%.0f-0', tonumber(millisecond) + 1))
  end
end

local function clock()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end

-- Whether *digest* has been seen within the window; from now on it has.
local function is_repeat(seen, digest, now, window)
  local known = redis.call('ZSCORE', seen, digest)
  if known and tonumber(known) > now then
    return true
  end
  redis.call('ZADD', seen, now + window, digest)
  return false
end

local function sweep(seen, events, now, window)
  local old = redis.call('ZRANGEBYSCORE', seen, '-inf', now, 'LIMIT', 0, SWEEP * events)
  if #old > 0 then
    redis.call('ZREM', seen, unpack(old))
  end
  local excess = redis.call('ZCARD', seen) - SEEN
  if excess > 0 then
    redis.call('ZPOPMIN', seen, excess)
  end
  redis.call('PEXPIRE', seen, window)
end

local function hold(tag, due, attributes, data)
  local id
  if data then
    id = redis.call('XADD', tag .. ':held', '*', 'a', attributes, 'd', data)
  else
    id = redis.call('XADD', tag .. ':held', '*', 'a', attributes)
  end
  redis.call('ZADD', tag .. ':due', due, id)
end

-- Nearly all calls: nothing to be held, no repeats to be known. A tenth cheaper than going through the rest.
local function append_plain(stream, shapes, args, at)
  local call, id = redis.call, nil
  for i = 1, #shapes do
    if shapes:byte(i) == 100 then -- "d"
      id = call('XADD', stream, '*', 'a', args[at], 'd', args[at + 1])
      at = at + 2
    else
      id = call('XADD', stream, '*', 'a', args[at])
      at = at + 1
    end
  end
  leave_crowded(stream, id)
  return at
end

-- Returns where the next key's arguments begin, and how many events had been sent before.
local function append_known(stream, shapes, window, args, at)
  local tag, repeats, id = stream:sub(1, -8), 0, nil -- without ":events"
  local seen, now = tag .. ':seen', window > 0 and clock()
  for i = 1, #shapes do
    local shape = shapes:byte(i)
    local is_new, due, data = true, nil, nil
    if window > 0 then
      is_new = not is_repeat(seen, args[at], now, window)
      at = at + 1
    end
    if shape == 68 or shape == 78 then -- "D", "N"
      due = args[at]
      at = at + 1
    end
    local attributes = args[at]
    at = at + 1
    if shape == 100 or shape == 68 then -- "d", "D"
      data = args[at]
      at = at + 1
    end
    if not is_new then
      repeats = repeats + 1
    elseif due then
      hold(tag, due, attributes, data)
    elseif data then
      id = redis.call('XADD', stream, '*', 'a', attributes, 'd', data)
    else
      id = redis.call('XADD', stream, '*', 'a', attributes)
    end
  end
  if id then
    leave_crowded(stream, id)
  end
  if window > 0 then
    sweep(seen, #shapes, now, window)
  end
  return at, repeats
end

redis.register_function('clarion_append', function(keys, args)
  local at, repeats = 1, 0
  if #keys > 1 then
    for _, stream in ipairs(keys) do
      redis.call('XLEN', stream) -- whatever is no stream is refused before the first of them is written
    end
  end
  for _, stream in ipairs(keys) do
    local shapes, window, known = args[at], tonumber(args[at + 1]), 0
    if window == 0 and not shapes:find('[ND]') then
      at = append_plain(stream, shapes, args, at + 2)
    else
      at, known = append_known(stream, shapes, window, args, at + 2)
    end
    repeats = repeats + known
  end
  return repeats
end)
