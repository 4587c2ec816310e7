package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/store"
)

// A lease is a hash: fence, the number granted last; until, when the lease ends, in milliseconds of the server's clock;
// and guards, see guardScript. The hash outlives the lease by lockMemory, for SetLocked to know who was granted the last
// one; once it is gone, SetLocked refuses everybody. A number is the server's time in microseconds, or one more than
// the last: unlike a counter, it does not begin again when the server forgets.

const lockMemory = time.Hour

// The scripts of the leases.
const (
	// lockScript returns the fence granted, or 0. KEYS: lease. ARGV: ttl in milliseconds, memory in milliseconds.
	lockScript = `
local t = redis.call('TIME')
local us = t[1] * 1000000 + t[2]
local now = math.floor(us / 1000)
local fields = redis.call('HGETALL', KEYS[1])
local fence = us
for i = 1, #fields, 2 do
	local value = tonumber(fields[i + 1])
	if fields[i] ~= 'fence' then
		if value > now then
			return 0
		end
	elseif value >= fence then
		fence = value + 1
	end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'fence', fence, 'until', now + ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1] + ARGV[2])
return fence
`
	// renewScript returns 1 if the lease is the fence's and has not ended. KEYS: lease. ARGV: fence, ttl, memory.
	renewScript = `
local t = redis.call('TIME')
local now = math.floor((t[1] * 1000000 + t[2]) / 1000)
local lease = redis.call('HMGET', KEYS[1], 'fence', 'until')
if lease[1] ~= ARGV[1] or tonumber(lease[2]) <= now then
	return 0
end
redis.call('HSET', KEYS[1], 'until', now + ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2] + ARGV[3])
return 1
`
	// unlockScript ends the lease if it is the fence's. KEYS: lease. ARGV: fence, memory.
	unlockScript = `
if redis.call('HGET', KEYS[1], 'fence') == ARGV[1] then
	redis.call('HSET', KEYS[1], 'until', 0)
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
`
	// setLockedScript returns 1 if it set. KEYS: lease, value. ARGV: fence, value, arguments of SET.
	setLockedScript = `
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then
	return 0
end
redis.call('SET', KEYS[2], ARGV[2], unpack(ARGV, 3))
return 1
`
	// guardScript keeps others from being granted the lease for a moment, in which the fence's holder may write to
	// another node. It returns the time by which that must have happened, or 0 if the fence is not the last granted.
	// KEYS: lease. ARGV: fence, name of the guard, its time in milliseconds.
	guardScript = `
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then
	return 0
end
local t = redis.call('TIME')
local now = math.floor((t[1] * 1000000 + t[2]) / 1000)
redis.call('HSET', KEYS[1], ARGV[2], now + ARGV[3])
return now + math.floor(ARGV[3] / 2)
`
	// setGuardedScript returns 1 if it set in time. KEYS: value. ARGV: time, value, arguments of SET.
	setGuardedScript = `
local t = redis.call('TIME')
if math.floor((t[1] * 1000000 + t[2]) / 1000) > tonumber(ARGV[1]) then
	return 0
end
redis.call('SET', KEYS[1], ARGV[2], unpack(ARGV, 3))
return 1
`
)

// leaseScripts are the scripts as the client runs them.
type leaseScripts struct {
	lock, renew, unlock, setLocked, guard, setGuarded *rueidis.Lua
}

func newLeaseScripts() leaseScripts {
	return leaseScripts{
		lock:       rueidis.NewLuaScript(lockScript),
		renew:      rueidis.NewLuaScript(renewScript),
		unlock:     rueidis.NewLuaScript(unlockScript),
		setLocked:  rueidis.NewLuaScript(setLockedScript),
		guard:      rueidis.NewLuaScript(guardScript),
		setGuarded: rueidis.NewLuaScript(setGuardedScript),
	}
}

// guardTime is how long a guard lasts that nobody removes. Half of it is for the write, the other half for clocks of
// two nodes to differ.
const guardTime = 2 * time.Second

// Lock implements [store.Locker]. Leases are as lasting as the server: one that forgets may grant a lease anew that is
// still held. The fences of the two differ nevertheless.
func (s *Store) Lock(ctx context.Context, name string, ttl time.Duration) (fence uint64, ok bool, err error) {
	if ttl <= 0 {
		return 0, false, fail("lock", fmt.Errorf("ttl %v is not positive", ttl))
	}
	n, err := s.runScript(ctx, "lock", s.scripts.lock, []string{s.keys.lockKey(name)}, decimal(ttl), decimal(lockMemory))
	if err != nil || n <= 0 {
		return 0, false, err
	}
	return uint64(n), true, nil
}

// Renew implements [store.Locker].
func (s *Store) Renew(ctx context.Context, name string, fence uint64, ttl time.Duration) (ok bool, err error) {
	if ttl <= 0 {
		return false, fail("renew", fmt.Errorf("ttl %v is not positive", ttl))
	}
	n, err := s.runScript(ctx, "renew", s.scripts.renew, []string{s.keys.lockKey(name)},
		strconv.FormatUint(fence, 10), decimal(ttl), decimal(lockMemory))
	return n == 1, err
}

// Unlock implements [store.Locker].
func (s *Store) Unlock(ctx context.Context, name string, fence uint64) error {
	_, err := s.runScript(ctx, "unlock", s.scripts.unlock, []string{s.keys.lockKey(name)},
		strconv.FormatUint(fence, 10), decimal(lockMemory))
	return err
}

// SetLocked implements [store.Locker]. It refuses a lease that ended an hour ago or more, since it no longer knows
// whether there was a later one. In a Cluster, a key other than name may be on another node than the lease: then no
// lease is granted while the value is written, for at most two seconds, and the clocks of two nodes may differ by one
// second.
func (s *Store) SetLocked(ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64) (ok bool, err error) {
	if err := checkSet(value, ttl); err != nil {
		return false, fail("set locked", err)
	}
	c, err := s.client.get(ctx)
	if err != nil {
		return false, fail("set locked", err)
	}
	lockKey, valueKey := s.keys.lockKey(name), s.keys.valueKey(key)
	args := []string{strconv.FormatUint(fence, 10), rueidis.BinaryString(value)}
	if ttl != store.Forever {
		args = append(args, "PX", decimal(ttl))
	}
	if c.cluster && name != key {
		return s.setGuarded(ctx, lockKey, valueKey, args)
	}
	n, err := s.runScript(ctx, "set locked", s.scripts.setLocked, []string{lockKey, valueKey}, args...)
	return n == 1, err
}

// setGuarded is SetLocked across two nodes. args are those of setLockedScript.
func (s *Store) setGuarded(ctx context.Context, lockKey, valueKey string, args []string) (bool, error) {
	guard := "guard:" + strconv.FormatUint(rand.Uint64(), 36) //nolint:gosec // unique, not secret
	by, err := s.runScript(ctx, "set locked", s.scripts.guard, []string{lockKey}, args[0], guard, decimal(guardTime))
	if err != nil || by == 0 {
		return false, err
	}
	args[0] = strconv.FormatInt(by, 10)
	set, err := s.runScript(ctx, "set locked", s.scripts.setGuarded, []string{valueKey}, args...)
	if _, answered := rueidis.IsRedisErr(err); err != nil && !answered {
		return false, err // the write may still be under way: the guard stays
	}
	if c, err := s.client.get(ctx); err == nil {
		// If this fails, the guard ends by itself.
		_ = c.Do(ctx, c.B().Hdel().Key(lockKey).Field(guard).Build()).Error()
	}
	if err != nil {
		return false, err
	}
	if set == 0 {
		return false, fail("set locked", errors.New("the value's node was reached too late, or its clock is ahead"))
	}
	return true, nil
}

// runScript runs a script whose keys share a slot and which returns an integer.
func (s *Store) runScript(ctx context.Context, operation string, script *rueidis.Lua, keys []string, args ...string) (int64, error) {
	c, err := s.client.get(ctx)
	if err != nil {
		return 0, fail(operation, err)
	}
	n, err := script.Exec(ctx, c, keys, args).AsInt64()
	if err != nil {
		return 0, fail(operation, err)
	}
	return n, nil
}

func decimal(d time.Duration) string { return strconv.FormatInt(milliseconds(d), 10) }
