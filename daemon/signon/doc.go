// Package signon lets people log in to the reading room by the hospital's OpenID provider: OpenID Connect Core 1.0, authorization code flow,
// with PKCE (RFC 7636), state and nonce. The provider says who somebody is and in which groups; the configuration says which group has which
// role.
//
// Its promise: nobody is let in but on the word of this provider, given for us, now, to the browser that asked for it, and used once; who has no
// role is told so. Its word ages: who lost a role there loses it here within oidc.recheck, or oidc.session without a refresh token. What goes wrong at the provider is an error that says what, and never a way in.
//
//	provider, err := signon.New(cfg.OIDC, cfg.HTTPAddress)
//	address, binding, err := provider.Begin(ctx, "/studies/1.2.3") // the browser goes there and keeps binding in a cookie
//	person, err := provider.Finish(ctx, query, binding)            // when it comes back to signon.Back
//	user, err := person.Word.User(ctx)                             // who he is, each time from then on
package signon
