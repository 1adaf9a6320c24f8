// Package doctor looks at an appliance and its machine and says what is wrong and what to do. It works with the daemon running, which it asks
// through the state's socket, or stopped, and changes nothing but a file of its own in the state folder, by which it measures the disk.
//
// Every failure that it knows is explained in docs/ADMIN.md.
package doctor
