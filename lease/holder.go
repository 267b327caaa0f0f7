package lease

import "context"

// Holder is what keeps its keys on a keeper's lease: a store. A keeper has one at a time, since a lease is what tells
// owners apart.
type Holder interface {
	// ReadKey is a key under the store's prefix, which the keeper reads to confirm renewals. It need not exist. It is
	// the same for as long as the holder is attached.
	ReadKey() string

	// TakeOver moves what the holder still holds from a lost term to the new one. It is called before the new term is
	// handed out by [Keeper.Term] and before the old lease is revoked, and again after an error for as long as the new
	// term lasts. ctx ends with the new term, and when the holder is detached. cause is why the old term ended.
	TakeOver(ctx context.Context, term *Term, cause error) error

	// Close stops the holder. [Keeper.Close] calls it before it ends the term. It may detach the holder itself.
	Close(ctx context.Context) error
}
