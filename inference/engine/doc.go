// Package engine picks what computes the models: XLA through a PJRT plugin (CUDA, then CPU) where one is found, else GoMLX's
// pure-Go backend, which is always there. It never fetches anything.
//
//	eng, err := engine.Open(engine.Auto)
//	log.Info("engine", "name", eng.Name, "why", eng.Why)
package engine
