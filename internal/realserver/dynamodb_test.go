package realserver_test

import (
	"net/http"
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
	s.Kill()
	if err := ask(); err == nil {
		t.Error("it answers after Kill")
	}
	s.Restart(t)
	if err := ask(); err != nil {
		t.Error(err)
	}
}
