package rfc9111

import (
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/header"
)

func TestLifetime(t *testing.T) {
	const most = header.MaxDelta
	for _, tt := range []struct {
		name, resp string
		want       time.Duration
		explicit   bool
	}{
		{"4.2.1/nothing", "200\nDate: now", 0, false},
		{"4.2.1/max-age", "200\nCache-Control: max-age=3600", time.Hour, true},
		{"4.2.1/max-age_0", "200\nCache-Control: max-age=0\nExpires: now+1h\nDate: now", 0, true},
		{"4.2.1/max-age_over_expires", "200\nCache-Control: max-age=60\nExpires: now-1h\nDate: now", time.Minute, true},
		{"4.2.1/max-age_over_invalid_expires", "200\nCache-Control: max-age=60\nExpires: 0", time.Minute, true},
		{"4.2.1/invalid_max-age_over_expires", "200\nCache-Control: max-age=x\nExpires: now+1h\nDate: now", 0, true},
		{"4.2.1/two_max-ages", "200\nCache-Control: max-age=60\nCache-Control: max-age=1", time.Minute, true},
		{"4.2.1/largest_max-age", "200\nCache-Control: max-age=99999999999", most, true},
		{"5.2.2.10/s-maxage", "200\nCache-Control: s-maxage=1, max-age=3600", time.Second, true},
		{"5.2.2.10/longer_s-maxage", "200\nCache-Control: max-age=1, s-maxage=3600\nExpires: now-10s", time.Hour, true},
		{"5.2.2.10/lines", "200\nCache-Control: max-age=3600\nCache-Control: s-maxage=1", time.Second, true},
		{"4.2.1/expires", "200\nExpires: now+720h\nDate: now", 720 * time.Hour, true},
		{"4.2.1/expires_minus_date", "200\nExpires: now+10s\nDate: now-10s", 20 * time.Second, true},
		{"4.2.1/expires_before_date", "200\nExpires: now+300s\nDate: now+400s", 0, true},
		{"4.2.1/expires_at_date", "200\nExpires: now\nDate: now", 0, true},
		{"4.2.1/expires_without_date", "200\nExpires: now+10s", 10 * time.Second, true},
		{"4.2.1/expires_with_invalid_date", "200\nExpires: now+10s\nDate: foo", 10 * time.Second, true},
		{"4.2.1/far_expires", "200\nExpires: Fri, 31 Dec 9999 23:59:59 GMT\nDate: now", most, true},
		{"4.2.1/two_expires", "200\nExpires: now+10s\nExpires: now+10s\nDate: now", 0, true},
		{"5.3/invalid_expires", "200\nExpires: 0\nDate: now", 0, true},
		{"5.3/empty_expires", "200\nExpires:\nDate: now", 0, true},
		{"5.3/utc", "200\nExpires: Thu, 18 Aug 2050 02:01:18 UTC\nDate: now", 0, true},
		{"5.3/rfc850_year_by_date", "200\nExpires: Monday, 01-Jun-76 12:00:00 GMT\nDate: now", 18263 * 24 * time.Hour, true},
		{"RFC9213/2.2/replaces_expires", "200\nExpires: now+1h\nDate: now\nCDN-Cache-Control: public", 0, false},
		{"RFC9213/2.2/replaces_max-age", "200\nCache-Control: max-age=3600\nCDN-Cache-Control: max-age=1", time.Second, true},
		{"RFC9213/2.2/without_lifetime", "200\nCache-Control: max-age=3600\nCDN-Cache-Control: foo", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := parse(t, tt.resp)
			got, explicit := r.Lifetime(now)
			if got != tt.want || explicit != tt.explicit {
				t.Errorf("Lifetime(%q) = %v, %v; want %v, %v", tt.resp, got, explicit, tt.want, tt.explicit)
			}
		})
	}
}

func TestHeuristic(t *testing.T) {
	for _, tt := range []struct {
		name, resp string
		want       time.Duration
	}{
		{"4.2.2/tenth", "200\nLast-Modified: now-10h\nDate: now", time.Hour},
		{"4.2.2/without_date", "200\nLast-Modified: now-10h", time.Hour},
		{"4.2.2/by_date", "200\nLast-Modified: now-10h\nDate: now-5h", 30 * time.Minute},
		{"4.2.2/bounded", "200\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\nDate: now", MaxHeuristic},
		{"4.2.2/future", "200\nLast-Modified: now+10h\nDate: now", 0},
		{"4.2.2/no_last-modified", "200\nDate: now", 0},
		{"4.2.2/invalid_last-modified", "200\nLast-Modified: 0\nDate: now", 0},
		{"RFC9110/15.1/203", "203\nLast-Modified: now-10h", time.Hour},
		{"RFC9110/15.1/204", "204\nLast-Modified: now-10h", time.Hour},
		{"RFC9110/15.1/300", "300\nLast-Modified: now-10h", time.Hour},
		{"RFC9110/15.1/301", "301\nLast-Modified: now-10h", time.Hour},
		{"RFC9110/15.1/308", "308\nLast-Modified: now-10h", time.Hour},
		{"RFC9110/15.1/404", "404\nLast-Modified: now-10h", time.Hour},
		{"RFC9110/15.1/405", "405\nLast-Modified: now-10h", time.Hour},
		{"RFC9110/15.1/410", "410\nLast-Modified: now-10h", time.Hour},
		{"RFC9110/15.1/414", "414\nLast-Modified: now-10h", time.Hour},
		{"RFC9110/15.1/501", "501\nLast-Modified: now-10h", time.Hour},
		{"RFC9110/15.1/201", "201\nLast-Modified: now-10h", 0},
		{"RFC9110/15.1/202", "202\nLast-Modified: now-10h", 0},
		{"RFC9110/15.1/302", "302\nLast-Modified: now-10h", 0},
		{"RFC9110/15.1/403", "403\nLast-Modified: now-10h", 0},
		{"RFC9110/15.1/502", "502\nLast-Modified: now-10h", 0},
		{"RFC9110/15.1/503", "503\nLast-Modified: now-10h", 0},
		{"RFC9110/15.1/504", "504\nLast-Modified: now-10h", 0},
		{"RFC9110/15.1/599", "599\nLast-Modified: now-10h", 0},
		{"5.2.2.9/public", "599\nLast-Modified: now-10h\nCache-Control: public", time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := parse(t, tt.resp)
			if got := r.Heuristic(now); got != tt.want {
				t.Errorf("Heuristic(%q) = %v; want %v", tt.resp, got, tt.want)
			}
		})
	}
}

func TestInitialAge(t *testing.T) {
	for _, tt := range []struct {
		name, resp string
		delay      time.Duration
		want       time.Duration
	}{
		{"4.2.3/nothing", "200", 0, 0},
		{"4.2.3/age", "200\nAge: 30\nDate: now", 0, 30 * time.Second},
		{"4.2.3/response_delay", "200\nAge: 30\nDate: now", 5 * time.Second, 35 * time.Second},
		{"4.2.3/delay_alone", "200\nDate: now", 5 * time.Second, 5 * time.Second},
		{"4.2.3/apparent_age", "200\nDate: now-7200s", 5 * time.Second, 2 * time.Hour},
		{"4.2.3/age_above_apparent", "200\nAge: 25\nDate: now-10s", 0, 25 * time.Second},
		{"4.2.3/date_ahead", "200\nAge: 15\nDate: now+10s", 0, 15 * time.Second},
		{"4.2.3/clock_went_back", "200\nAge: 15", -time.Hour, 15 * time.Second},
		{"4.2.3/two_dates", "200\nDate: now-1h\nDate: now", 0, 0},
		{"4.2.3/ancient", "200\nDate: Mon, 01 Jan 1601 00:00:00 GMT", 0, header.MaxDelta},
		{"5.1/letters", "200\nAge: abc", 0, 0},
		{"5.1/negative", "200\nAge: -7200", 0, 0},
		{"5.1/fraction", "200\nAge: 7200.0", 0, 0},
		{"5.1/parameter", "200\nAge: 7200;foo=bar", 0, 0},
		{"5.1/empty", "200\nAge:", 0, 0},
		{"5.1/2^31-1", "200\nAge: 2147483647", 0, header.MaxDelta - time.Second},
		{"5.1/2^31", "200\nAge: 2147483648", time.Second, header.MaxDelta},
		{"5.1/2^31+1", "200\nAge: 2147483649", 0, header.MaxDelta},
		{"5.1/first_member", "200\nAge: 7200, 0", 0, 2 * time.Hour},
		{"5.1/first_member_0", "200\nAge: 0, 7200", 0, 0},
		{"5.1/first_line", "200\nAge: 7200\nAge: 0", 0, 2 * time.Hour},
		{"5.1/first_line_0", "200\nAge: 0\nAge: 7200", 0, 0},
		{"5.1/same_twice", "200\nAge: 3600\nAge: 3600", 0, time.Hour},
		{"5.1/first_invalid", "200\nAge: x, 7200", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := parse(t, tt.resp)
			if got := r.InitialAge(now.Add(-tt.delay), now); got != tt.want {
				t.Errorf("InitialAge(%q) after %v = %v; want %v", tt.resp, tt.delay, got, tt.want)
			}
		})
	}
}

// Whatever a response says, its numbers can be added to a time.
func FuzzParse(f *testing.F) {
	f.Add(200, "max-age=60, private=\"a\"", "now", "0", "7200, 0", "*, a", "max-age=5")
	f.Add(404, "public", "Sun Nov  6 08:49:37 1994", "Sunday, 06-Nov-94 08:49:37 GMT", "x", "Accept-Encoding", "")
	f.Fuzz(func(t *testing.T, status int, cc, date, expires, age, vary, cdn string) {
		h := map[string][]string{
			"Cache-Control": {cc}, "Date": {date}, "Expires": {expires}, "Last-Modified": {expires}, "Age": {age},
			"Vary": {vary}, "Cdn-Cache-Control": {cdn}, "Connection": {vary}, "Content-Encoding": {cc},
		}
		r := Parse(status, h, []string{"Cdn-Cache-Control"})
		life, explicit := r.Lifetime(now)
		if life < 0 || life > header.MaxDelta || !explicit && life != 0 {
			t.Errorf("Lifetime of %v = %v, %v", h, life, explicit)
		}
		if d := r.Heuristic(now); d < 0 || d > MaxHeuristic {
			t.Errorf("Heuristic of %v = %v", h, d)
		}
		if d := r.InitialAge(now.Add(-time.Second), now); d < time.Second || d > header.MaxDelta {
			t.Errorf("InitialAge of %v = %v", h, d)
		}
		if r.VaryStar && r.Storable(Request{Method: "GET"}, Rules{DefaultTTL: true}) == "" {
			t.Errorf("%v is storable although it varies on everything", h)
		}
		Clean(h, r.CC)
		if h["Age"] != nil || h["Connection"] != nil || h["Cache-Control"] == nil && len(r.CC.NoCacheFields)+len(r.CC.PrivateFields) == 0 {
			t.Errorf("Clean leaves %v", h)
		}
	})
}
