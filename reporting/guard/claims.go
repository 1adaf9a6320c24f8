package guard

// Claim says what a sentence claims that scores cannot support: a prior, a measurement, a side, a device. Empty when it claims none.
func Claim(sentence string) string {
	for _, u := range unknowable {
		if u.claim.MatchString(sentence) {
			return u.reason
		}
	}
	return ""
}
