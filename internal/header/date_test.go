package header

import (
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	at := func(year int, month time.Month, day, hour, minute, second int) time.Time {
		return time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	}
	aug := at(2050, time.August, 18, 2, 1, 18)
	for _, tt := range []struct {
		name string
		in   string
		want time.Time // zero: invalid
	}{
		{"RFC9110/5.6.7/imf", "Sun, 06 Nov 1994 08:49:37 GMT", at(1994, time.November, 6, 8, 49, 37)},
		{"RFC9110/5.6.7/rfc850", "Sunday, 06-Nov-94 08:49:37 GMT", at(1994, time.November, 6, 8, 49, 37)},
		{"RFC9110/5.6.7/asctime", "Sun Nov  6 08:49:37 1994", at(1994, time.November, 6, 8, 49, 37)},
		{"RFC9110/5.6.7/asctime_two_digits", "Wed Nov 16 08:49:37 1994", at(1994, time.November, 16, 8, 49, 37)},
		{"RFC9110/5.6.7/rfc850_wednesday", "Wednesday, 09-Nov-94 08:49:37 GMT", at(1994, time.November, 9, 8, 49, 37)},
		{"RFC9110/5.6.7/rfc850_future", "Thursday, 18-Aug-50 02:01:18 GMT", aug},
		{"RFC9110/5.6.7/32_bits", "Tue, 19 Jan 2038 14:14:08 GMT", at(2038, time.January, 19, 14, 14, 8)},
		{"RFC9110/5.6.7/far", "Sun, 21 Nov 2286 04:46:39 GMT", at(2286, time.November, 21, 4, 46, 39)},
		{"RFC9110/5.6.7/leap_day", "Thu, 29 Feb 2024 00:00:00 GMT", at(2024, time.February, 29, 0, 0, 0)},
		{"RFC9110/5.6.7/leap_second", "Sat, 31 Dec 2016 23:59:60 GMT", at(2017, time.January, 1, 0, 0, 0)},
		{"tolerated/weekday_case", "THU, 18 Aug 2050 02:01:18 GMT", aug},
		{"tolerated/month_case", "Thu, 18 AUG 2050 02:01:18 GMT", aug},
		{"tolerated/zone_case", "Thu, 18 Aug 2050 02:01:18 gMT", aug},
		{"tolerated/wrong_weekday", "Mon, 18 Aug 2050 02:01:18 GMT", aug},

		{"invalid/empty", "", time.Time{}},
		{"invalid/zero", "0", time.Time{}},
		{"invalid/utc", "Thu, 18 Aug 2050 02:01:18 UTC", time.Time{}},
		{"invalid/aest", "Thu, 18 Aug 2050 02:01:18 AEST", time.Time{}},
		{"invalid/offset", "Thu, 18 Aug 2050 02:01:18 +0000", time.Time{}},
		{"invalid/no_zone", "Thu, 18 Aug 2050 02:01:18", time.Time{}},
		{"invalid/two_digit_year", "Thu, 18 Aug 50 02:01:18 GMT", time.Time{}},
		{"invalid/no_comma", "Thu 18 Aug 2050 02:01:18 GMT", time.Time{}},
		{"invalid/blanks", "Thu, 18  Aug  2050 02:01:18 GMT", time.Time{}},
		{"invalid/leading_blank", " Thu, 18 Aug 2050 02:01:18 GMT", time.Time{}},
		{"invalid/dashes", "Thu, 18-Aug-2050 02:01:18 GMT", time.Time{}},
		{"invalid/periods", "Thu, 18 Aug 2050 02.01.18 GMT", time.Time{}},
		{"invalid/one_digit_hour", "Thu, 18 Aug 2050 2:01:18 GMT", time.Time{}},
		{"invalid/one_digit_day", "Thu, 8 Aug 2050 02:01:18 GMT", time.Time{}},
		{"invalid/hour", "Thu, 18 Aug 2050 24:00:00 GMT", time.Time{}},
		{"invalid/minute", "Thu, 18 Aug 2050 02:60:18 GMT", time.Time{}},
		{"invalid/second", "Thu, 18 Aug 2050 02:01:60 GMT", time.Time{}},
		{"invalid/day", "Fri, 30 Feb 2024 00:00:00 GMT", time.Time{}},
		{"invalid/day_zero", "Fri, 00 Mar 2024 00:00:00 GMT", time.Time{}},
		{"invalid/month", "Fri, 01 Foo 2024 00:00:00 GMT", time.Time{}},
		{"invalid/long_month", "Fri, 01 March 2024 00:00:00 GMT", time.Time{}},
		{"invalid/weekday", "Foo, 18 Aug 2050 02:01:18 GMT", time.Time{}},
		{"invalid/misspelt_weekday", "Tuersday, 18-Aug-50 02:01:18 GMT", time.Time{}},
		{"invalid/long_weekday", "Thursday, 18 Aug 2050 02:01:18 GMT", time.Time{}},
		{"invalid/short_weekday", "Thu, 18-Aug-50 02:01:18 GMT", time.Time{}},
		{"invalid/asctime_zone", "Thu Aug 18 02:01:18 2050 GMT", time.Time{}},
		{"invalid/asctime_one_blank", "Thu Aug 8 02:01:18 2050", time.Time{}},
		{"invalid/cut_short", "Thu, 1", time.Time{}},
		{"invalid/tail", "Thu, 18 Aug 2050 02:01:18 GMT, x", time.Time{}},
		{"invalid/other_alphabet", "Thu, 18 Aug 2050 02:01:18 G\u212aT", time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := ParseDate(tt.in)
			if !got.Equal(tt.want) || ok == tt.want.IsZero() {
				t.Errorf("ParseDate(%q) = %v, %v; want %v", tt.in, got, ok, tt.want)
			}
		})
	}
}

// RFC 9110 §5.6.7: a year of two digits that seems to be more than 50 years ahead is the most recent one in the past.
func TestParseDateAt(t *testing.T) {
	now := time.Date(2026, time.June, 1, 12, 0, 0, 0, time.UTC)
	for in, year := range map[string]int{
		"Monday, 01-Jun-76 12:00:00 GMT": 2076,
		"Monday, 01-Jun-76 12:00:01 GMT": 1976,
		"Monday, 01-Jun-75 12:00:01 GMT": 2075,
		"Monday, 01-Jun-77 00:00:00 GMT": 1977,
		"Monday, 01-Jun-26 00:00:00 GMT": 2026,
		"Monday, 01-Jun-00 00:00:00 GMT": 2000,
	} {
		if got, ok := ParseDateAt(in, now); !ok || got.Year() != year {
			t.Errorf("ParseDateAt(%q, %v) = %v, %v; want the year %d", in, now, got, ok, year)
		}
	}
	now = time.Date(2060, time.June, 1, 0, 0, 0, 0, time.UTC)
	if got, ok := ParseDateAt("Monday, 01-Jun-05 00:00:00 GMT", now); !ok || got.Year() != 2105 {
		t.Errorf("ParseDateAt over the turn of the century = %v, %v; want the year 2105", got, ok)
	}
}

func TestParseDateAllocs(t *testing.T) {
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "0",
	} {
		if n := testing.AllocsPerRun(100, func() { ParseDate(s) }); n != 0 {
			t.Errorf("ParseDate(%q) allocates %v times; want 0", s, n)
		}
	}
}

// What is a date to ParseDate is the same date again in the preferred format.
func FuzzParseDate(f *testing.F) {
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
		"Sat, 31 Dec 2016 23:59:60 GMT", "Fri, 31 Dec 9999 23:59:60 GMT",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := ParseDate(s)
		if !ok || at.Year() > 9999 {
			return
		}
		text := at.Format("Mon, 02 Jan 2006 15:04:05 GMT")
		if again, ok := ParseDate(text); !ok || !again.Equal(at) {
			t.Errorf("ParseDate(%q) = %v, but of %q %v, %v", s, at, text, again, ok)
		}
	})
}
