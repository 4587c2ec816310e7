package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
)

// spoil gives every second value of a Redis to another key, and makes the others garbage.
const spoil = `
local keys = redis.call('KEYS', ARGV[1])
local before = ''
for i, key in ipairs(keys) do
	local value = redis.call('GET', key)
	if i % 2 == 0 then redis.call('SET', key, before) else redis.call('SET', key, 'garbage') end
	before = value
end
return #keys
`

func spoiledRedis(t *testing.T) (place, func(), func()) {
	p := newPlace(t, "redis")
	return p, func() {
		n, err := realserver.RedisDo(p.addrs[0], "EVAL", spoil, "0", p.prefix+":{:*")
		if err != nil || n == "0" {
			t.Errorf("%s keys are spoiled: %v", n, err)
		}
	}, nil
}

// spoiledMemcached overwrites the values by the text protocol.
func spoiledMemcached(t *testing.T) (place, func(), func()) {
	p := newPlace(t, "memcached")
	p.addrs = p.addrs[:1]
	return p, func() {
		n, err := spoilMemcached(p)
		if err != nil || n == 0 {
			t.Errorf("%d keys are spoiled: %v", n, err)
		}
	}, nil
}

func spoilMemcached(p place) (n int, err error) {
	c, err := net.Dial("tcp", p.addrs[0])
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	r := bufio.NewReader(c)
	// The crawler may be busy with what another test asked for.
	var keys []string
	for keys == nil {
		fmt.Fprint(c, "lru_crawler metadump all\r\n")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return 0, err
			}
			if strings.HasPrefix(line, "END") {
				break
			}
			if strings.HasPrefix(line, "BUSY") {
				time.Sleep(10 * time.Millisecond)
				break
			}
			key, _, _ := strings.Cut(strings.TrimPrefix(line, "key="), " ")
			// Values have a colon where marks have an exclamation mark, and others other prefixes.
			if rest, ok := strings.CutPrefix(key, p.prefix); ok && !strings.HasPrefix(rest, "!") && !strings.HasPrefix(rest, "%21") {
				keys = append(keys, key)
			}
		}
	}
	for _, key := range keys {
		if key, err = url.PathUnescape(key); err != nil {
			return n, err
		}
		fmt.Fprintf(c, "set %s 0 0 7\r\ngarbage\r\n", key)
		line, err := r.ReadString('\n')
		if err != nil {
			return n, err
		}
		if line != "STORED\r\n" {
			return n, fmt.Errorf("set %s: %s", key, line)
		}
		n++
	}
	return n, nil
}

// spoiledDynamo overwrites the values of the items.
func spoiledDynamo(t *testing.T) (place, func(), func()) {
	p := newPlace(t, "dynamodb")
	return p, func() {
		n, err := spoilDynamo(t.Context(), p)
		if err != nil || n == 0 {
			t.Errorf("%d items are spoiled: %v", n, err)
		}
	}, nil
}

func spoilDynamo(ctx context.Context, p place) (n int, err error) {
	c := dynamoClient(p.addrs[0])
	pages := dynamodb.NewScanPaginator(c, &dynamodb.ScanInput{
		TableName: aws.String(dynamoTable), FilterExpression: aws.String("begins_with(pk, :p) AND attribute_exists(v)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": &types.AttributeValueMemberS{Value: p.prefix}},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return n, err
		}
		for _, item := range page.Items {
			item["v"] = &types.AttributeValueMemberB{Value: []byte("garbage")}
			if _, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(dynamoTable), Item: item}); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

func stoppedDynamo(t *testing.T) (place, func(), func()) {
	server := realserver.NewDynamoDB(t)
	createTable(t, server.Addr())
	begin, end := stopped(t, server)
	return place{kind: "dynamodb", addrs: []string{server.Addr()}, prefix: "faults"}, begin, end
}

// nodeOf is the node that a store says a key is on.
func nodeOf(t *testing.T, p place, key string) string {
	t.Helper()
	s, closeAll, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	if _, _, err := s.(store.Sequencer).GetMarked(t.Context(), "key"); err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	for s.(store.Partitioned).Node(key) == "" && t.Context().Err() == nil {
		time.Sleep(time.Millisecond) // it learns that in the background
	}
	return s.(store.Partitioned).Node(key)
}

// clusterNode makes faults of one of three nodes, that which has the marks or another one.
func clusterNode(
	ofMarks bool, faulty func(*testing.T, *realserver.Server) (begin, end func()),
) func(*testing.T) (place, func(), func()) {
	return func(t *testing.T) (place, func(), func()) {
		nodes := realserver.NewRedisCluster(t)
		p := place{kind: "cluster", prefix: "faults"}
		for _, n := range nodes {
			p.addrs = append(p.addrs, n.Addr())
		}
		marks := nodeOf(t, p, "")
		var victim *realserver.Server
		for _, n := range nodes {
			if (n.Addr() == marks) == ofMarks {
				victim = n
			}
		}
		begin, end := faulty(t, victim)
		return p, begin, func() {
			end()
			for _, n := range nodes {
				awaitCluster(t, n)
			}
		}
	}
}

// awaitCluster waits until a node serves, and believes that all others do.
func awaitCluster(t *testing.T, n *realserver.Server) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		info, err := realserver.RedisDo(n.Addr(), "CLUSTER", "INFO")
		if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster is not whole again: %v\n%s", err, info)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// memcachedNode makes faults of one of two servers, that without the marks.
func memcachedNode(faulty func(*testing.T, *realserver.Server) (begin, end func())) func(*testing.T) (place, func(), func()) {
	return func(t *testing.T) (place, func(), func()) {
		nodes := []*realserver.Server{realserver.NewMemcached(t), realserver.NewMemcached(t)}
		p := place{kind: "memcached", addrs: []string{nodes[0].Addr(), nodes[1].Addr()}, prefix: "faults"}
		victim := nodes[0]
		if nodeOf(t, p, "") == victim.Addr() {
			victim = nodes[1]
		}
		begin, end := faulty(t, victim)
		return p, begin, end
	}
}

// memcachedDo sends one command and returns the lines before END.
func memcachedDo(t *testing.T, addr, command string) []string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "%s\r\n", command)
	var all []string
	for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != "END"; {
		all = append(all, lines.Text())
	}
	return all
}
