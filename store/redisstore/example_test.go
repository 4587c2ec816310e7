package redisstore_test

import (
	"fmt"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/store/redisstore"
)

// The store goes into reprise.Config.Store. It connects when it is first used.
func ExampleNew() {
	s, err := redisstore.New(redisstore.Config{URL: "redis://localhost:6379"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println("ready")
	// Output: ready
}

// A Cluster is recognised by itself. One address of it suffices; more help when that node is down.
func ExampleNew_cluster() {
	s, err := redisstore.New(redisstore.Config{URL: "redis://node1:6379?addr=node2:6379&addr=node3:6379"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println("ready")
	// Output: ready
}

// What a URL cannot say goes into Options: here, credentials that change.
func ExampleNew_options() {
	s, err := redisstore.New(redisstore.Config{
		Options: rueidis.ClientOption{
			InitAddress: []string{"cache.internal:6379"},
			AuthCredentialsFn: func(rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
				return rueidis.AuthCredentials{Username: "reprise", Password: "from a vault"}, nil
			},
		},
		Prefix: "shop:",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println("ready")
	// Output: ready
}

// Every mistake is reported at once.
func ExampleNew_mistakes() {
	_, err := redisstore.New(redisstore.Config{URL: "redis://localhost?retries=3", Prefix: "{shop}"})
	fmt.Println(err)
	// Output:
	// redisstore: Prefix "{shop}" contains '{': use printable ASCII without space and braces
	// redisstore: URL "redis://localhost?retries=3": unknown parameter "retries": use addr, db, dial_timeout, write_timeout, skip_verify, protocol, client_name, master_set
}
