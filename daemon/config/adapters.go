package config

// Adapters says which adapters may work.
type Adapters struct {
	TrustedKeys []string `yaml:"trusted_keys" explain:"files with public keys (PEM, Ed25519); when set, an adapter works only when one of them has signed it (llamaxr adapter sign), but for the starter's, which is part of the program"`
}
