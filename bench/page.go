package main

// page is a part of the report with a file of its own, which one command writes.
type page struct {
	name     string // for -page
	file     string // in the directory of the report
	template string // one of templates
	modules  []string
	sections []section
}

// section is a part of a page.
type section struct {
	name string
	run  func(*bench) error
}

// pages are all parts of the report.
func pages() []page {
	return []page{
		{
			name: "process", file: "benchmarks.md", template: "process.md.tmpl",
			modules: []string{
				"github.com/chenyahui/gin-cache", "github.com/go-chi/stampede", "github.com/go-redis/cache/v9",
				"github.com/gofiber/fiber/v3", "github.com/hashicorp/golang-lru/v2", "github.com/maypok86/otter/v2",
				"github.com/viccon/sturdyc", "github.com/victorspringer/http-cache",
			},
			sections: []section{
				{"probes", (*bench).probes},
				{"hits", (*bench).hits},
				{"more", (*bench).more},
				{"misses", (*bench).misses},
				{"functions", (*bench).functions},
				{"traces", (*bench).traces},
				{"waits", (*bench).waits},
				{"memory", (*bench).memory},
			},
		},
		{
			name: "http", file: "benchmarks-http.md", template: "http.md.tmpl",
			modules:  []string{"github.com/gofiber/fiber/v3"},
			sections: []section{{"http", (*bench).overHTTP}},
		},
		{
			name: "stores", file: "benchmarks-stores.md", template: "stores.md.tmpl",
			modules: []string{
				"github.com/aws/aws-sdk-go-v2/service/dynamodb", "github.com/bradfitz/gomemcache", "github.com/redis/rueidis",
			},
			sections: []section{{"stores", (*bench).stores}},
		},
	}
}
