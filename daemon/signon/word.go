package signon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"llamaxr/daemon/access"

	"golang.org/x/oauth2"
)

// retryTime is how long a provider that could not be asked is left alone: each request of a browser would wait for it.
const retryTime = time.Minute

// Word is the provider's word on somebody, which counts for oidc.recheck. Then it is asked for again by the refresh token (OpenID Connect Core 1.0,
// 12): who lost a role has it no longer, who was locked out is out. A provider that cannot be asked is believed for as long again. Where it gave no
// refresh token the word counts for oidc.session.
type Word struct {
	provider *Provider
	subject  string

	mu           sync.Mutex // held while the provider is asked: many take a second use of one refresh token for theft
	user         access.User
	refresh      string
	heard, tried time.Time
	over         error // why it counts no longer
}

// User is who he is now by the provider's word, or why it counts no longer.
func (w *Word) User(ctx context.Context) (access.User, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.provider
	age, since := p.now().Sub(w.heard), p.now().Sub(w.tried)
	switch {
	case w.over != nil:
	case w.refresh == "":
		if age >= p.cfg.Session {
			w.over = fmt.Errorf("%w: it was given %s ago", ErrOver, age.Round(time.Second))
		}
	case age >= p.cfg.Recheck && (since >= retryTime || age >= 2*p.cfg.Recheck):
		w.ask(context.WithoutCancel(ctx), age) // who asks may go away; the token is used then all the same
	}
	if w.over != nil {
		return access.User{}, w.over
	}
	return w.user, nil
}

// ask has the provider give its word again.
func (w *Word) ask(ctx context.Context, age time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	w.tried = w.provider.now()
	user, refresh, err := w.provider.renew(ctx, w.refresh, w.subject)
	switch {
	case errors.Is(err, ErrProvider) && age < 2*w.provider.cfg.Recheck:
	case err != nil:
		w.over = err
	case user.Name != w.user.Name:
		w.over = fmt.Errorf("%w: %q is called %q now", ErrPerson, w.user.Name, user.Name)
	default:
		w.user, w.refresh, w.heard = user, refresh, w.tried
	}
}

// renew exchanges a refresh token for the provider's word on a subject, and the refresh token to come.
func (p *Provider) renew(ctx context.Context, refresh, subject string) (user access.User, next string, err error) {
	m, err := p.ask(ctx)
	if err != nil {
		return access.User{}, "", err
	}
	oauth, ctx, err := p.client(ctx, m)
	if err != nil {
		return access.User{}, "", providerError("token", err)
	}
	tokens, err := oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
	if err != nil {
		return access.User{}, "", tokenError(err, fmt.Errorf("%w: it stands by him no longer", ErrDenied))
	}
	claims := map[string]any{}
	if raw, _ := tokens.Extra("id_token").(string); raw != "" { // it may be missing (12.2): then UserInfo tells
		token, err := p.believe(ctx, m, tokens, raw, claims)
		if err != nil {
			return access.User{}, "", err
		}
		if token.Subject != subject {
			return access.User{}, "", fmt.Errorf("%w: it tells of somebody else", ErrToken)
		}
	}
	if err := p.complete(ctx, m, tokens, subject, claims); err != nil {
		return access.User{}, "", err
	}
	user, err = p.user(subject, claims)
	return user, tokens.RefreshToken, err
}
