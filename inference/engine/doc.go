// Package engine picks what computes graphs: XLA through a PJRT plugin (CUDA, then CPU) where one is found, else GoMLX's
// pure-Go backend, which is always there. It never fetches anything. On a CPU the models that read studies do without: inference/kernel.
//
//	eng, err := engine.Open(engine.Auto)
//	log.Info("engine", "name", eng.Name, "why", eng.Why)
package engine
