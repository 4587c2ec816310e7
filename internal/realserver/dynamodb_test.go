package realserver_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/internal/realserver"
)

func TestDynamoDB(t *testing.T) {
	s := realserver.NewDynamoDB(t)
	ask := func() error {
		resp, err := http.Get("http://" + s.Addr() + "/")
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
	// Whoever uses tables makes it leave a library behind, which has to go with its directory.
	listTables(t, s.Addr())
	if left, err := filepath.Glob(filepath.Join(s.Dir(), "sqlite-*")); err != nil || len(left) == 0 {
		t.Errorf("its directory has no library (%v): it is elsewhere", err)
	}
	s.Kill()
	if err := ask(); err == nil {
		t.Error("it answers after Kill")
	}
	s.Restart(t)
	if err := ask(); err != nil {
		t.Error(err)
	}
}

func listTables(t *testing.T, addr string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=key/20260101/eu-central-1/dynamodb/aws4_request, SignedHeaders=host, Signature=any")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("ListTables is %s", resp.Status)
	}
}
