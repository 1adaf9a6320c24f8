package main

// keepPrivate has nothing to do: files inherit the state folder's rights, and Windows writes dumps only where an administrator sets it up.
func keepPrivate() error { return nil }
