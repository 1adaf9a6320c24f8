// Package access says who may do what in the reading room: users with roles and argon2id passwords (RFC 9106) in one file of the state
// folder, sessions in memory, a lockout for guessed passwords, a bound on requests, and the audit log of every view and act.
//
// Its promise: nobody is let in without a password that a person set or the word of the site's OpenID provider (package signon), a guess costs
// memory and time and soon a wait, and what the audit log holds cannot be changed in its midst without being noticed.
package access
