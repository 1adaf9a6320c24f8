// Package experiment compares recipes of the method on public reports: `make experiment`, whose tables are in docs/EXPERIMENTS.md.
//
// No weights of the paper's classifier are public where this is built, so the scores of the IU reports are SIMULATED from the terms that
// people gave each report (Simulator): every figure says what a language model makes of scores of that quality, none says anything about
// pictures. The reports are real, and so are the language model (SmolLM2-135M), the trainer, the engine and the guard.
//
// Each Condition trains an adapter on the reports of four fifths of the patients and writes about those of a tenth that it never saw. What is
// done is kept in a folder, step by step and report by report: the same command goes on where it was stopped.
package experiment
