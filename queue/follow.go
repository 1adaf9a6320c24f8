package queue

import "maps"

// Follow has told called with the Study Instance UIDs of each commit that changed a study or its reading, in the order of the commits,
// until stop is called. told runs between two commits: it must only take note.
func (db *DB) Follow(told func(uids map[string]bool)) (stop func()) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.followers++
	n := db.followers
	if db.told == nil {
		db.told = map[int]func(map[string]bool){}
	}
	db.told[n] = told
	return func() {
		db.mu.Lock()
		defer db.mu.Unlock()
		delete(db.told, n)
	}
}

// tell passes on what a commit changed.
func (db *DB) tell(changed map[string]bool) {
	if len(changed) == 0 {
		return
	}
	db.mu.Lock()
	told := maps.Clone(db.told)
	db.mu.Unlock()
	for _, f := range told {
		f(changed)
	}
}

// touch notes that a study was changed in this transaction.
func (tx *Tx) touch(uid string) {
	if tx.changed != nil {
		tx.changed[uid] = true
	}
}
