"""The Lua scripts of the locks on lanes and users. `locks.py` says what each key holds."""

from pointledger.messaging.contract import LOOKING_MS

_SEEN_MS = 5_000  # longer than a batch; then a worker that has not taken lanes again counts as gone

# By the server's clock, because those of the workers differ.
_NOW = """
local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

# `note_at_work` notes that the worker is, and forgets those that are gone.
#
# `take` takes for `token` the free lanes that wait and, if the worker keeps no lane, the one that has had a
# backlog for the longest. It returns the worker's lane with a backlog, another one that is free while no
# doorbell is on its way, whether a command is in a hurry, whether one is in the lane with a backlog, and all
# lanes of the token. Lanes that an earlier run took count as well: its reply may be lost.
#
# While a command is in a hurry, one of several workers stays free of backlogs: `may_join` refuses a lane to
# the last one. It serves the lanes that wait, and workers with a backlog leave these to it.
# KEYS: waiting, backlogs, hurry, door, looking, ahead, workers, bulk, then every lane
_TAKE = (
    _NOW
    + f"local looking_ms, seen_ms = {LOOKING_MS}, {_SEEN_MS}"
    + """
local is_hurried = redis.call('EXISTS', KEYS[3])
local workers, others = 0, 0

local function key_of(lane) return KEYS[9 + lane] end

local function note_at_work(worker)
    redis.call('ZADD', KEYS[7], now(), worker)
    redis.call('ZREM', KEYS[8], worker)
    for i = 7, 8 do redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now() - seen_ms) end
    workers, others = redis.call('ZCARD', KEYS[7]), redis.call('ZCARD', KEYS[8])
end

local function may_join(at_backlogs)
    return is_hurried == 0 or at_backlogs == 0 or at_backlogs + 1 < workers
end

local function take(token, ttl, worker, kept)
    local has_spare = is_hurried == 1 and workers > 1
    local backlog, free, is_ahead, has_waiting = kept, -1, 0, false
    local function lock(lane)
        if redis.call('GET', key_of(lane)) then return false end
        redis.call('SET', key_of(lane), token, 'PX', ttl)
        return true
    end
    for _, set in ipairs({KEYS[1], KEYS[6]}) do
        for _, lane in ipairs(redis.call('SMEMBERS', set)) do
            local is_own = redis.call('GET', key_of(lane)) == token
            if is_own or not (has_spare and kept >= 0) and lock(lane) then
                redis.call('SREM', set, lane)
                has_waiting = true
                if set == KEYS[6] and tonumber(lane) == kept then is_ahead = 1 end
            end
        end
    end
    local wants = kept < 0 and may_join(others) and not (has_spare and has_waiting)
    for _, lane in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
        if wants and backlog < 0 and lock(lane) then
            backlog = tonumber(lane)
            redis.call('ZREM', KEYS[2], lane)
        elseif not redis.call('GET', key_of(lane)) then
            local at_backlogs = others + (backlog < 0 and 0 or 1)
            if redis.call('EXISTS', KEYS[4]) == 0 and may_join(at_backlogs) then free = tonumber(lane) end
            break
        end
    end
    local taken = {backlog, free, is_hurried, is_ahead}
    for lane, holder in ipairs(redis.call('MGET', unpack(KEYS, 9, lanes + 8))) do
        if holder == token then taken[#taken + 1] = lane - 1 end
    end
    if backlog >= 0 then redis.call('ZADD', KEYS[8], now(), worker) end
    if #taken > 4 and not (has_spare and backlog >= 0) then
        redis.call('SET', KEYS[5], token, 'PX', looking_ms)
    end
    return taken
end
"""
)

# The last keys: the idle workers, and what clients of the version before mark, the doorbell of each lane.
# ARGV: lanes, worker, ttl, token, lane
TAKE_LANES = f"""
local lanes = tonumber(ARGV[1])
{_TAKE}
redis.call('DEL', KEYS[4], KEYS[10 + lanes])
redis.call('ZREM', KEYS[9 + lanes], ARGV[2])
if redis.call('GET', KEYS[5]) == ARGV[2] then redis.call('DEL', KEYS[5]) end
if not redis.call('ZSCORE', KEYS[2], ARGV[5]) then redis.call('SADD', KEYS[1], ARGV[5]) end
note_at_work(ARGV[2])
return take(ARGV[4], ARGV[3], ARGV[2], -1)
"""

# Offers a lane with a backlog to the worker that takes it next. The commands that have rung for it come after
# the backlog, so it does not wait as well: one worker would take all such lanes at once, and others none.
_OFFER = """
local function offer(lane)
    redis.call('ZADD', KEYS[2], 'NX', now(), lane)
    redis.call('SREM', KEYS[1], lane)
end
"""

# A second run finds no lane of the old token and changes none of the new one.
# ARGV: lanes, worker, ttl, old token, new token, kept lane or -1, then those with a backlog
NEXT_LANES = f"""
local lanes, kept = tonumber(ARGV[1]), tonumber(ARGV[6])
{_TAKE}
{_OFFER}
if redis.call('GET', KEYS[5]) == ARGV[4] then redis.call('DEL', KEYS[5]) end
note_at_work(ARGV[2])
local is_backlog = {{}}
for i = 7, #ARGV do is_backlog[tonumber(ARGV[i])] = true end
if kept >= 0 and not may_join(others) then
    is_backlog[kept] = true
    kept = -1
end
for lane, holder in ipairs(redis.call('MGET', unpack(KEYS, 9, lanes + 8))) do
    lane = lane - 1
    if holder == ARGV[4] then
        if lane == kept then
            redis.call('SET', key_of(lane), ARGV[5], 'PX', ARGV[3])
        else
            redis.call('DEL', key_of(lane))
            if is_backlog[lane] then offer(lane) end
        end
    end
end
return take(ARGV[5], ARGV[3], ARGV[2], kept)
"""

# Returns a lane that waits although no worker will take it and no doorbell is on its way, or nil.
# KEYS: waiting, backlogs, hurry, door, looking, ahead, workers, bulk, then the lanes
# ARGV: worker, token, then the lanes that have a backlog or -1
RETURN_LANES = (
    _NOW
    + _OFFER
    + """
if redis.call('GET', KEYS[5]) == ARGV[2] then redis.call('DEL', KEYS[5]) end
redis.call('ZREM', KEYS[8], ARGV[1])
for i = 9, #KEYS do
    if redis.call('GET', KEYS[i]) == ARGV[2] then
        redis.call('DEL', KEYS[i])
        local lane = ARGV[i - 6]
        if tonumber(lane) >= 0 then offer(lane) end
    end
end
if redis.call('EXISTS', KEYS[4], KEYS[5]) > 0 then return nil end
local waiting = redis.call('SRANDMEMBER', KEYS[6]) or redis.call('SRANDMEMBER', KEYS[1])
if waiting or redis.call('EXISTS', KEYS[8]) == 1 then return waiting end
return redis.call('ZRANGE', KEYS[2], 0, 0)[1]
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

# KEYS: idle, looking   ARGV: worker
BECOME_IDLE = """
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000000 + time[2], ARGV[1])
return 1
"""

# Returns a lane that waits if the worker is no longer idle: its ring is on its way.
# KEYS: idle, waiting, ahead   ARGV: worker
BECOME_BUSY = """
if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then return nil end
return redis.call('SRANDMEMBER', KEYS[3]) or redis.call('SRANDMEMBER', KEYS[2])
"""

# KEYS: busy tenants   ARGV: ttl
NOTE_BUSY = """
for i = 1, #KEYS do redis.call('SET', KEYS[i], '1', 'PX', ARGV[1]) end
return 1
"""
