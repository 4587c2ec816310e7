package reprise_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise"
)

type product struct {
	ID    int
	Name  string
	Price int
}

// database stands for what is slow.
type database struct{ queries int }

func (db *database) product(_ context.Context, id int) (product, error) {
	db.queries++
	return product{ID: id, Name: "shoe", Price: 100 + db.queries}, nil
}

func ExampleMemoize() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()
	db := new(database)

	productByID := reprise.Memoize(cache, "product", db.product, reprise.TTL(time.Minute))

	for range 3 {
		p, err := productByID(context.Background(), 42)
		fmt.Println(p.Name, p.Price, err)
	}
	fmt.Println("queries:", db.queries)
	// Output:
	// shoe 101 <nil>
	// shoe 101 <nil>
	// shoe 101 <nil>
	// queries: 1
}

// What a result is made of is named by tags; to invalidate one drops every result, and every page, that has it.
func ExampleAddTags_loader() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()
	ctx := context.Background()
	db := new(database)

	productByID := reprise.Memoize(cache, "product", func(ctx context.Context, id int) (product, error) {
		reprise.AddTags(ctx, fmt.Sprintf("product:%d", id))
		return db.product(ctx, id)
	})
	label := reprise.Memoize(cache, "label", func(ctx context.Context, id int) (string, error) {
		p, err := productByID(ctx, id)
		return fmt.Sprintf("%s: %d", p.Name, p.Price), err
	})

	fmt.Println(label(ctx, 42))
	if err := cache.InvalidateTags(ctx, "product:42"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(label(ctx, 42))
	// Output:
	// shoe: 101 <nil>
	// shoe: 102 <nil>
}

// An argument of several parts is a struct. What cannot be a key, such as a slice, needs KeyBy.
func ExampleKeyBy() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	total := reprise.Memoize(cache, "total",
		func(_ context.Context, ids []int) (int, error) {
			fmt.Println("loading", ids)
			return 100 * len(ids), nil
		},
		reprise.KeyBy(func(b *reprise.KeyBuilder, ids []int) {
			b.Int(int64(len(ids)))
			for _, id := range ids {
				b.Int(int64(id))
			}
		}))

	fmt.Println(total(context.Background(), []int{1, 2}))
	fmt.Println(total(context.Background(), []int{1, 2}))
	// Output:
	// loading [1 2]
	// 200 <nil>
	// 200 <nil>
}

// With StaleIfError a failing loader costs nobody the last good value. It comes with the error; AllowStale says that the
// old value will do.
func ExampleAllowStale() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()
	down := false

	rate := reprise.Memoize(cache, "rate",
		func(context.Context, string) (float64, error) {
			if down {
				return 0, errors.New("no connection")
			}
			return 1.25, nil
		},
		reprise.TTL(time.Millisecond), reprise.StaleIfError(time.Hour))

	fmt.Println(rate(context.Background(), "EUR"))
	time.Sleep(2 * time.Millisecond)
	down = true
	_, err := rate(context.Background(), "EUR")
	var stale *reprise.StaleError
	fmt.Println(errors.As(err, &stale), stale.Err)
	fmt.Println(reprise.AllowStale(rate(context.Background(), "EUR")))
	// Output:
	// 1.25 <nil>
	// true no connection
	// 1.25 <nil>
}

// GetMany asks LoadMany for what is missing, in one call.
func ExampleFunc_GetMany() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()
	ctx := context.Background()

	names, err := reprise.NewFunc(cache, "name",
		func(_ context.Context, id int) (string, error) { return fmt.Sprint("user ", id), nil },
		reprise.LoadMany(func(_ context.Context, ids []int) (map[int]string, error) {
			fmt.Println("loading", ids)
			m := make(map[int]string)
			for _, id := range ids {
				if id < 100 {
					m[id] = fmt.Sprint("user ", id)
				}
			}
			return m, nil
		}))
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(names.GetMany(ctx, []int{1, 2}))
	got, err := names.GetMany(ctx, []int{2, 3, 100})
	fmt.Printf("%q\n", got)
	var many *reprise.ManyError
	if errors.As(err, &many) {
		fmt.Println(many.Errs[2])
	}
	// Output:
	// loading [1 2]
	// [user 1 user 2] <nil>
	// loading [3 100]
	// ["user 2" "user 3" ""]
	// reprise: LoadMany returned nothing for the key
}

// After a write the function is told what is now true. A load that was under way does not bring the old value back.
func ExampleFunc_Set() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()
	ctx := context.Background()
	db := new(database)

	products, err := reprise.NewFunc(cache, "product", db.product)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(products.Get(ctx, 42))
	if err := products.Set(ctx, 42, product{42, "boot", 250}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(products.Get(ctx, 42))
	fmt.Println(products.Delete(ctx, 42))
	// Output:
	// {42 shoe 101} <nil>
	// {42 boot 250} <nil>
	// 1 <nil>
}
