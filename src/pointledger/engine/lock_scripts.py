"""The Lua scripts of the locks on lanes and users. `locks.py` says what each key holds."""

_LOOKING_MS = 20  # as long as a small batch takes: other workers begin beside a larger one

# Takes for `token` the free lanes that wait, and if `wants` the one that has had a backlog for the longest.
# Returns that one, another one that is free while no doorbell is on its way, whether a command is in a hurry,
# and all lanes of the token. Lanes that an earlier run took count as well: its reply may be lost.
# KEYS: waiting, backlogs, hurry, door, looking, ahead, then every lane
_TAKE = (
    f"local looking_ms = {_LOOKING_MS}"
    + """
local function key_of(lane) return KEYS[7 + lane] end

local function take(token, ttl, wants)
    local function lock(lane)
        if redis.call('GET', key_of(lane)) then return false end
        redis.call('SET', key_of(lane), token, 'PX', ttl)
        redis.call('ZREM', KEYS[2], lane)
        return true
    end
    local backlog, free = -1, -1
    for _, set in ipairs({KEYS[1], KEYS[6]}) do
        for _, lane in ipairs(redis.call('SMEMBERS', set)) do
            if redis.call('GET', key_of(lane)) == token or lock(lane) then redis.call('SREM', set, lane) end
        end
    end
    for _, lane in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
        if wants and backlog < 0 and lock(lane) then
            backlog = tonumber(lane)
        elseif not redis.call('GET', key_of(lane)) then
            if redis.call('EXISTS', KEYS[4]) == 0 then free = tonumber(lane) end
            break
        end
    end
    local taken = {backlog, free, redis.call('EXISTS', KEYS[3])}
    for lane, holder in ipairs(redis.call('MGET', unpack(KEYS, 7, lanes + 6))) do
        if holder == token then taken[#taken + 1] = lane - 1 end
    end
    if #taken > 3 then redis.call('SET', KEYS[5], token, 'PX', looking_ms) end
    return taken
end
"""
)

# The last key: clients of the version before mark the doorbell of each lane.
# ARGV: lanes, now, ttl, token, lane
TAKE_LANES = f"""
local lanes = tonumber(ARGV[1])
{_TAKE}
redis.call('DEL', KEYS[4], KEYS[7 + lanes])
if not redis.call('ZSCORE', KEYS[2], ARGV[5]) then redis.call('SADD', KEYS[1], ARGV[5]) end
return take(ARGV[4], ARGV[3], true)
"""

# Offers a lane with a backlog to the worker that takes it next. The commands that have rung for it come after
# the backlog, so it does not wait as well: one worker would take all such lanes at once, and others none.
_OFFER = """
local function offer(lane, now)
    redis.call('ZADD', KEYS[2], 'NX', now, lane)
    redis.call('SREM', KEYS[1], lane)
end
"""

# A second run finds no lane of the old token and changes none of the new one.
# ARGV: lanes, now, ttl, old token, new token, kept lane or -1, then those with a backlog
NEXT_LANES = f"""
local lanes, kept = tonumber(ARGV[1]), tonumber(ARGV[6])
{_TAKE}
{_OFFER}
if redis.call('GET', KEYS[5]) == ARGV[4] then redis.call('DEL', KEYS[5]) end
local is_backlog = {{}}
for i = 7, #ARGV do is_backlog[tonumber(ARGV[i])] = true end
for lane, holder in ipairs(redis.call('MGET', unpack(KEYS, 7, lanes + 6))) do
    lane = lane - 1
    if holder == ARGV[4] then
        if lane == kept then
            redis.call('SET', key_of(lane), ARGV[5], 'PX', ARGV[3])
        else
            redis.call('DEL', key_of(lane))
            if is_backlog[lane] then offer(lane, ARGV[2]) end
        end
    end
end
return take(ARGV[5], ARGV[3], kept < 0)
"""

# Returns a lane that waits although no worker will take it and no doorbell is on its way, or nil.
# KEYS: waiting, backlogs, hurry, door, looking, ahead, then the lanes
# ARGV: now, token, then the lanes that have a backlog or -1
RETURN_LANES = (
    _OFFER
    + """
if redis.call('GET', KEYS[5]) == ARGV[2] then redis.call('DEL', KEYS[5]) end
for i = 7, #KEYS do
    if redis.call('GET', KEYS[i]) == ARGV[2] then
        redis.call('DEL', KEYS[i])
        local lane = ARGV[i - 4]
        if tonumber(lane) >= 0 then offer(lane, ARGV[1]) end
    end
end
if redis.call('EXISTS', KEYS[4], KEYS[5]) == 0 then
    return redis.call('SRANDMEMBER', KEYS[6]) or redis.call('SRANDMEMBER', KEYS[1])
end
"""
)

# Lua's stack bounds how many keys one call takes. One MGET of many costs a fifth of as many GETs.
_MANY_KEYS = """
local function each_thousand(from, visit)
    for first = from, #KEYS, 1000 do
        local last = math.min(first + 999, #KEYS)
        visit(first, redis.call('MGET', unpack(KEYS, first, last)))
    end
end
"""

# KEYS: lanes, then users   ARGV: token, ttl, number of lanes   -> positions of the users that another holds
ACQUIRE_USERS = (
    _MANY_KEYS
    + """
local lanes = tonumber(ARGV[3])
for i = 1, lanes do
    if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
end
local busy = {}
each_thousand(lanes + 1, function(first, holders)
    for i, holder in ipairs(holders) do
        if holder and holder ~= ARGV[1] then
            busy[#busy + 1] = first + i - lanes - 2
        else
            redis.call('SET', KEYS[first + i - 1], ARGV[1], 'PX', ARGV[2])
        end
    end
end)
return busy
"""
)

# KEYS: users   ARGV: token
RELEASE_USERS = (
    _MANY_KEYS
    + """
each_thousand(1, function(first, holders)
    local held = {}
    for i, holder in ipairs(holders) do
        if holder == ARGV[1] then held[#held + 1] = KEYS[first + i - 1] end
    end
    if #held > 0 then redis.call('DEL', unpack(held)) end
end)
return 1
"""
)

# KEYS: busy tenants   ARGV: ttl
NOTE_BUSY = """
for i = 1, #KEYS do redis.call('SET', KEYS[i], '1', 'PX', ARGV[1]) end
return 1
"""
