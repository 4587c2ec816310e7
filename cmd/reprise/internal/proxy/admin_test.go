package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// counted answers with how often it was asked, tagged by the first part of the path.
func counted(n *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Cache-Tag", strings.Split(r.URL.Path, "/")[1]+", all")
		fmt.Fprint(w, n.Add(1))
	}
}

func TestPurge(t *testing.T) {
	const page = "/shop/shoes/1?size=42"
	for _, tt := range []struct {
		name, method, path, body string
		fields                   []string
		status                   int
		gone                     bool
	}{
		{"URL", "POST", "/purge", `{"urls":["http://shop.test/shop/shoes/1"]}`, nil, 200, true},
		{"path", "POST", "/purge", `{"urls":["/shop/shoes/1"]}`, nil, 200, true},
		{"other URL", "POST", "/purge", `{"urls":["http://other.test/shop/shoes/1"]}`, nil, 200, false},
		{"other path", "POST", "/purge", `{"urls":["/shop/shoes"]}`, nil, 200, false},
		{"tag", "POST", "/purge", `{"tags":["shop"]}`, nil, 200, true},
		{"other tag", "POST", "/purge", `{"tags":["sho"]}`, nil, 200, false},
		{"prefix", "POST", "/purge", `{"prefixes":["/shop/"]}`, nil, 200, true},
		{"deeper prefix", "POST", "/purge", `{"prefixes":["/shop/shoes/"]}`, nil, 200, true},
		{"every prefix", "POST", "/purge", `{"prefixes":["/"]}`, nil, 200, true},
		{"other prefix", "POST", "/purge", `{"prefixes":["/shop/hats/"]}`, nil, 200, false},
		{"half a level", "POST", "/purge", `{"prefixes":["/sho"]}`, nil, 400, false},
		{"all", "POST", "/purge", `{"all":true}`, nil, 200, true},
		{"nothing", "POST", "/purge", `{}`, nil, 400, false},
		{"unknown", "POST", "/purge", `{"url":["/shop/shoes/1"]}`, nil, 400, false},
		{"no JSON", "POST", "/purge", `shop`, nil, 400, false},
		{"neither path nor URL", "POST", "/purge", `{"urls":["shop/shoes/1"]}`, nil, 400, false},
		{"PURGE", "PURGE", "/shop/shoes/1", "", []string{"Host: shop.test"}, 200, true},
		{"PURGE of another host", "PURGE", "/shop/shoes/1", "", []string{"Host: other.test"}, 200, false},
		{"PURGE on every host", "PURGE", "/shop/shoes/1", "", nil, 200, true},
		{"no host and no path", "POST", "/purge", `{"all":true,"urls":["http://"]}`, nil, 400, false},
		{"no URL", "POST", "/purge", `{"all":true,"urls":["/%zz"]}`, nil, 400, false},
		{"empty tag", "POST", "/purge", `{"all":true,"tags":[""]}`, nil, 400, false},
		{"long tag", "POST", "/purge", `{"all":true,"tags":["` + strings.Repeat("x", 1025) + `"]}`, nil, 400, false},
		{"longest tag", "POST", "/purge", `{"all":true,"tags":["` + strings.Repeat("x", 1024) + `"]}`, nil, 200, true},
		{"empty key", "POST", "/purge", `{"all":true,"keys":[""]}`, nil, 400, false},
		{"PURGE of what could be a host", "PURGE", "//shop.test/shop/shoes/1", "", nil, 400, false},
		{"two purges", "POST", "/purge", `{"urls":["/"]} {"all":true}`, nil, 400, false},
		{"PURGE by the name of the admin address", "PURGE", "/shop/shoes/1", "", []string{"Host: admin.test:PORT"}, 200, true},
		{"from a web page", "POST", "/purge", `{"all":true}`, []string{"Origin: http://evil.test"}, 403, false},
		{"from a web page of its own", "POST", "/purge", `{"all":true}`, []string{"Sec-Fetch-Site: same-origin"}, 403, false},
		{"by a name for loopback", "POST", "/purge", `{"all":true}`, []string{"Host: evil.test"}, 403, false},
		{"listing by a name for loopback", "GET", "/entries", "", []string{"Host: evil.test"}, 403, false},
		{"GET of purge", "GET", "/purge", "", nil, 405, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int32
			o := originServer(t, counted(&n))
			p := start(t, o.URL, func(cfg *proxy.Config) { cfg.TagField = "Cache-Tag" })
			get(t, p.front+page, "Host: shop.test")
			for i, f := range tt.fields {
				tt.fields[i] = strings.ReplaceAll(f, "PORT", p.admin[strings.LastIndexByte(p.admin, ':')+1:])
			}
			res, body := send(t, tt.method, p.admin+tt.path, tt.body, tt.fields...)
			if res.StatusCode != tt.status {
				t.Errorf("%s %s %s = %d %q; want %d", tt.method, tt.path, tt.body, res.StatusCode, body, tt.status)
			}
			res, _ = get(t, p.front+page, "Host: shop.test")
			if gone := n.Load() == 2; gone != tt.gone {
				t.Errorf("the page is gone: %v; want %v", gone, tt.gone)
			}
			if res.Header["Cache-Tag"] != nil {
				t.Error("the client gets the tags")
			}
		})
	}
}

// A prefix, as a URL, means what it says and not how it is spelled.
func TestPurgePrefixSpelled(t *testing.T) {
	for _, tt := range []struct{ page, prefix string }{
		{"/%c3%a9t%C3%A9/1", "/été/"},
		{"/%C3%A9t%C3%A9/1", "/%c3%a9t%c3%a9/"},
		{"/caf%65/a%20b/1", "/cafe/a b/"},
		{"/a!b/1", "/a!b/"},
	} {
		var n atomic.Int32
		o := originServer(t, counted(&n))
		p := start(t, o.URL, nil)
		get(t, p.front+tt.page)
		if res, body := send(t, "POST", p.admin+"/purge", `{"prefixes":["`+tt.prefix+`"]}`); res.StatusCode != http.StatusOK {
			t.Errorf("purging %s = %d %q; want 200", tt.prefix, res.StatusCode, body)
		}
		if get(t, p.front+tt.page); n.Load() != 2 {
			t.Errorf("%s is there after a purge of what is below %s", tt.page, tt.prefix)
		}
	}
}

// The public side knows no purging.
func TestPurgeInPublic(t *testing.T) {
	var n atomic.Int32
	o := originServer(t, counted(&n))
	p := start(t, o.URL, nil)
	get(t, p.front+"/a")
	if res, _ := send(t, "PURGE", p.front+"/a", ""); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("PURGE = %d; want 405", res.StatusCode)
	}
	send(t, "POST", p.front+"/purge", `{"all":true}`)
	if res, _ := get(t, p.front+"/a"); !strings.HasPrefix(status(t, res), "hit") {
		t.Errorf("afterwards Cache-Status = %q; want a hit", status(t, res))
	}
}

func TestAdminToken(t *testing.T) {
	var n atomic.Int32
	o := originServer(t, counted(&n))
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.AdminToken = "0123456789abcdef" })
	for _, tt := range []struct {
		path, authorization string
		want                int
	}{
		{"/healthz", "", 200},
		{"/readyz", "", 200},
		{"/entries", "", 401},
		{"/stats", "", 401},
		{"/entries", "Bearer 0123456789abcde", 401},
		{"/entries", "0123456789abcdef", 401},
		{"/entries", "Bearer 0123456789abcdef", 200},
		{"/stats", "Bearer 0123456789abcdef", 200},
		{"/entries?limit=0", "Bearer 0123456789abcdef", 400},
		{"/other", "Bearer 0123456789abcdef", 404},
	} {
		res, body := get(t, p.admin+tt.path, "Authorization: "+tt.authorization)
		if res.StatusCode != tt.want {
			t.Errorf("GET %s with %q = %d %q; want %d", tt.path, tt.authorization, res.StatusCode, body, tt.want)
		}
	}
}

func TestEntries(t *testing.T) {
	var n atomic.Int32
	o := originServer(t, counted(&n))
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.TagField = "Cache-Tag" })
	get(t, p.front+"/a", "Host: shop.test")
	get(t, p.front+"/b", "Host: shop.test")
	_, body := get(t, p.admin+"/entries?limit=1")
	if lines := strings.Count(body, "\n"); lines != 1 {
		t.Errorf("GET /entries?limit=1 has %d lines; want 1", lines)
	}
	_, body = get(t, p.admin+"/entries?prefix="+"reprise%7CGET%7Chttp://shop.test%7C/a")
	var e proxy.Listed
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("GET /entries = %q: %v", body, err)
	}
	if e.Key != "reprise|GET|http://shop.test|/a" || e.Status != 200 || e.Bytes != 1 || e.Stale {
		t.Errorf("GET /entries = %+v; want the page /a", e)
	}
	res, body := send(t, "POST", p.admin+"/purge", `{"keys":["`+e.Key+`"]}`)
	if res.StatusCode != 200 {
		t.Fatalf("purge by key = %d %q", res.StatusCode, body)
	}
	get(t, p.front+"/a", "Host: shop.test")
	if n.Load() != 3 {
		t.Errorf("after the purge the origin was asked %d times; want 3", n.Load())
	}
}
