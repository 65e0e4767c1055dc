-- Store one version of one object, or delete it, and log the change; refused unless the stored version is
-- the expected one.
--
-- KEYS  1 hash of objects   2 the version counter   3 stream of changes
-- ARGV  1 field of the object
--       2 expected version, "0" for "there must be none"
--       3 the object's JSON without resourceVersion, "" keeps the stored JSON
--       4 ADDED, MODIFIED or DELETED
--       5 JSON of the labels before, "" if they did not change
--       6 how many changes the stream keeps, about
--       7 field of an object that must exist (the namespace), or ""
--
-- Returns {1, new version}; {0, stored version or 0} when refused; {-1, 0} when ARGV 7 does not exist.

local stored = redis.call('HGET', KEYS[1], ARGV[1])
local version = '0'
if stored then
  version = string.match(stored, '^%d+')
end
if ARGV[7] ~= '' and redis.call('HEXISTS', KEYS[1], ARGV[7]) == 0 then
  return {-1, 0}
end
if version ~= ARGV[2] then
  return {0, tonumber(version)}
end

local object = ARGV[3]
if object == '' then
  object = string.sub(stored, #version + 2)
end
local new = redis.call('INCR', KEYS[2])
if ARGV[4] == 'DELETED' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], new .. ' ' .. object)
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], new .. '-0',
  't', ARGV[4], 'f', ARGV[1], 'o', object, 'l', ARGV[5])
return {1, new}
