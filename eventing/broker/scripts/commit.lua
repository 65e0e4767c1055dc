#!lua name=clarion_commit
-- clarion_commit: what the owner of a partition decided since its last commit, all of it or nothing.
--
-- KEYS[1]  {ns/broker/p}
-- ARGV[1]  name of the dispatcher
-- ARGV[2]  length of the lease, ms: a commit renews it
-- ARGV[3]  epoch
-- ARGV[4]  number of this commit within the epoch: one that is repeated after a lost answer changes nothing
-- ARGV[5]  the page, JSON:
--            floor     id: everything at or below it is settled, or held below; null: as before
--            resolved  ["id uid", ...]  settled or held, above the floor
--            passed    ["id uid", ...]  resolved pairs that the floor has passed
--            parked    {uid: [place, "ref attempt", ...]}      into the backlog of a trigger
--            drained   {uid: ["ref attempt", ...]}             out of it
--            retries   [[due ms, place, "uid attempt ref"], ...]
--            dead      [[uid, place or null, field names...], ...]  with a place: to be sent to the sink, too
--            redeemed  {uid: [id, ...]}                        dead letters that are none any more
-- ARGV[6..] values of the dead letters' fields, in order; then rows of the delivery record, JSON, so many in each
--
-- Returns the next due time of a retry (ms, as text) or "". Refused with FENCED, and nothing is changed, when there is a
-- newer epoch.

local RECORDS_KEPT = 8192 -- entries of at most 32 rows of about 150 bytes: 40 MB a partition at the very most

-- Lua passes at most some thousands of arguments in one call.
local function each_chunk(list, size, step)
  for at = 1, #list, size do
    step(unpack(list, at, math.min(at + size - 1, #list)))
  end
end

-- Returns where the arguments that are not the dead letters' begin.
local function bury(tag, page, args)
  local at = 6
  for _, letter in ipairs(page.dead) do
    local uid, place = letter[1], letter[2]
    local fields = {}
    for i = 3, #letter do
      fields[#fields + 1] = letter[i]
      fields[#fields + 1] = args[at]
      at = at + 1
    end
    local id = redis.call('XADD', tag .. ':dead:' .. uid, '*', unpack(fields))
    if place ~= cjson.null then
      redis.call('ZADD', tag .. ':backlog:' .. uid, place, 'd' .. id .. ' 1')
    end
    redis.call('SADD', tag .. ':lanes', uid)
  end
  return at
end

local function hold(tag, page)
  for uid, members in pairs(page.parked) do
    local backlog = tag .. ':backlog:' .. uid
    each_chunk(members, 2000, function(...) redis.call('ZADD', backlog, ...) end)
    redis.call('SADD', tag .. ':lanes', uid)
  end
  for _, retry in ipairs(page.retries) do
    local uid, member = retry[3]:match('^(%S+) (.+)$')
    redis.call('ZADD', tag .. ':retries', retry[1], retry[3])
    redis.call('ZADD', tag .. ':waiting:' .. uid, retry[2], member)
    redis.call('SADD', tag .. ':lanes', uid)
  end
end

-- Who is asked for what waits, every few seconds, are those in `lanes`: triggers of which nothing does are none.
local function let_go(tag, uids)
  for uid in pairs(uids) do
    local dead = tag .. ':dead:' .. uid
    if redis.call('ZCARD', tag .. ':backlog:' .. uid) == 0 and redis.call('ZCARD', tag .. ':waiting:' .. uid) == 0
      and redis.call('XLEN', dead) == 0 then
      redis.call('SREM', tag .. ':lanes', uid)
      redis.call('UNLINK', dead)
    end
  end
end

redis.register_function{function_name = 'clarion_commit', flags = {'allow-oom'}, callback = function(keys, args)
  local tag = keys[1]
  if redis.call('GET', tag .. ':epoch') ~= args[3] then
    return redis.error_reply('FENCED another dispatcher owns this partition')
  end
  redis.call('SET', tag .. ':lease', args[1], 'PX', args[2])
  local mark = args[3] .. '/' .. args[4]
  if redis.call('HGET', tag .. ':state', 'commit') ~= mark then
    local page = cjson.decode(args[5])
    redis.call('HSET', tag .. ':state', 'commit', mark)
    if page.floor ~= cjson.null then
      redis.call('HSET', tag .. ':state', 'floor', page.floor)
    end
    -- A ref may leave the backlog and come back within one page (a redriven dead letter that failed again).
    for uid, members in pairs(page.drained) do
      local backlog = tag .. ':backlog:' .. uid
      each_chunk(members, 4000, function(...) redis.call('ZREM', backlog, ...) end)
    end
    each_chunk(page.passed, 4000, function(...) redis.call('SREM', tag .. ':resolved', ...) end)
    each_chunk(page.resolved, 4000, function(...) redis.call('SADD', tag .. ':resolved', ...) end)
    hold(tag, page)
    for uid, ids in pairs(page.redeemed) do
      each_chunk(ids, 4000, function(...) redis.call('XDEL', tag .. ':dead:' .. uid, ...) end)
    end
    for at = bury(tag, page, args), #args do
      redis.call('XADD', tag .. ':records', 'MAXLEN', '~', RECORDS_KEPT, '*', 'r', args[at])
    end
    let_go(tag, page.drained)
    let_go(tag, page.redeemed)
  end
  return redis.call('ZRANGE', tag .. ':retries', 0, 0, 'WITHSCORES')[2] or ''
end}
