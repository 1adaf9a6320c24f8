package metrics

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

const (
	tolerance       = 1e-6
	meteorTolerance = 1e-4
)

// reportPairs are all IU reports, each beside another one or beside itself with another's impression, and the odd cases, as
// oracles/captions.py makes them.
func reportPairs(t *testing.T) []Pair {
	t.Helper()
	type report struct {
		Findings, Impression string
	}
	data, err := os.ReadFile(peertest.SharedData(t, "reports/iu_reports.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var reports []report
	for line := range bytes.Lines(data) {
		var r report
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		reports = append(reports, r)
	}
	var lines bytes.Buffer
	out := json.NewEncoder(&lines)
	for i, own := range reports {
		other := reports[(7*i+3)%len(reports)]
		findings := other.Findings
		if i%2 == 1 {
			findings = own.Findings
		}
		err := out.Encode(map[string]any{"id": i, "reference": own.Findings + " " + own.Impression, "candidate": findings + " " + other.Impression})
		if err != nil {
			t.Fatal(err)
		}
	}
	odd, err := os.ReadFile("testdata/odd.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines.Write(odd)
	pairs, err := ReadPairs(&lines)
	if err != nil {
		t.Fatal(err)
	}
	return pairs
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within || math.IsNaN(got) {
		t.Errorf("%s is %.9f, want %.9f", what, got, want)
	}
}

// TestPaperRecipe: BLEU, ROUGE-L, METEOR and stems are those of NLTK and rouge_score.
func TestPaperRecipe(t *testing.T) {
	pairs := reportPairs(t)
	python := peertest.Python(t)
	paper, _, err := textTables(pairs)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "pairs.jsonl")
	var lines bytes.Buffer
	for _, p := range pairs {
		if err := json.NewEncoder(&lines).Encode(map[string]string{"id": p.ID, "reference": p.Reference, "candidate": p.Candidate}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/paper.py", path, peertest.WordNet(t))
	cmd.Stderr = os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(bytes.NewReader(answer))
	answers.Buffer(nil, 16<<20)
	for i := 0; answers.Scan(); i++ {
		var want struct {
			BLEU          []float64
			Rouge, Meteor float64
			Stems         map[string]string
		}
		if err := json.Unmarshal(answers.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if i == len(pairs) {
			t.Logf("%d pairs, %d words", i, len(want.Stems))
			for word, stem := range want.Stems {
				if got := Stem(word); got != stem {
					t.Errorf("the stem of %q is %q, want %q", word, got, stem)
				}
			}
			return
		}
		got := paper[0].rows[i]
		for k, v := range append(want.BLEU, want.Rouge) {
			near(t, pairs[i].ID+": "+paper[0].names[k], got[k], v, tolerance)
		}
		near(t, pairs[i].ID+": METEOR", got[5], want.Meteor, meteorTolerance)
	}
	t.Fatal("the reference programs did not answer for every pair")
}

type cocoGolden struct {
	Corpus     map[string]float64
	Names      []string
	Pairs      [][]float64
	Statistics [][]float64 `json:"meteor_statistics"`
}

func readGolden(t *testing.T) (g cocoGolden) {
	t.Helper()
	file, err := os.Open("testdata/coco.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(in).Decode(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestCocoRecipe: corpus BLEU, ROUGE-L and CIDEr are those of pycocoevalcap, over all pairs and of each; METEOR too where its jar is.
func TestCocoRecipe(t *testing.T) {
	pairs, golden := reportPairs(t), readGolden(t)
	_, tables, err := textTables(pairs)
	if err != nil {
		t.Fatal(err)
	}
	if len(golden.Pairs) != len(pairs) {
		t.Fatalf("the golden file is of %d pairs, there are %d", len(golden.Pairs), len(pairs))
	}
	// Where METEOR's own program is, it is run: the golden file is from the same one, as pycocoevalcap calls it.
	folder := FindMeteor(filepath.Join(peertest.Root(t), ".cache", "oracles"))
	if rows, err := jarRows(t.Context(), folder, pairs); err == nil {
		tables = append(tables, meteorTable(rows))
	} else {
		t.Logf("METEOR 1.5 is not compared live: %v", err)
	}
	everything := make([]int, len(pairs))
	for i := range everything {
		everything[i] = i
	}
	column := map[string]int{}
	for k, name := range golden.Names {
		column[name] = k
	}
	for _, table := range tables {
		whole := table.values(table.total(everything))
		for k, name := range table.names {
			near(t, "corpus "+name, whole[k], golden.Corpus[name], tolerance)
			for i, row := range table.rows {
				near(t, pairs[i].ID+": "+name, table.values(row)[k], golden.Pairs[i][column[name]], tolerance)
			}
		}
	}
}

// TestMeteorOfStatistics: METEOR 1.5 of its program's own counts is what the program makes of them.
func TestMeteorOfStatistics(t *testing.T) {
	golden := readGolden(t)
	var lines strings.Builder
	for _, row := range golden.Statistics {
		text, _ := json.Marshal(row)
		lines.WriteString(strings.ReplaceAll(strings.Trim(string(text), "[]"), ",", " ") + "\n")
	}
	rows, err := readRows(strings.NewReader(lines.String()), len(golden.Statistics))
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		near(t, "METEOR", jarScore(row), golden.Pairs[40*i][6], tolerance)
	}
}

func TestReadPairsRefuses(t *testing.T) {
	for text, why := range map[string]string{
		"":                         "there are none",
		`{"id":1,"reference":"a"}`: "line 1",
		"{\"reference\":\"\",\"candidate\":\"\"}\n{":                                                   "line 2",
		`{"id":[],"reference":"","candidate":""}`:                                                      "neither text nor number",
		`{"id":"x","reference":"","candidate":""}` + "\n" + `{"id":"x","reference":"","candidate":""}`: `"x" was given on line 1`,
		`{"reference":"","candidate":"","changed":{"finding":"Mass","candidate":""}}`:                  `needs "scores"`,
		`{"reference":"","candidate":"` + strings.Repeat("a", maxText+1) + `"}`:                        "more than",
		`{"reference":"","candidate":"` + strings.Repeat("a", maxLine+1) + `"}`:                        "line 1",
		`{"reference":"","candidate":"","scores":{"frontal":{"Mass":0.1},"lateral":null}}`:             "missing",
	} {
		if _, err := ReadPairs(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.60q: %v, want %q", text, err, why)
		}
	}
}

// TestClinicalAndGrounding: worked by hand from three reports.
func TestClinicalAndGrounding(t *testing.T) {
	var low study.Scores
	mass := low
	mass[study.Mass], mass[study.Effusion] = 0.9, 0.8
	pairs := []Pair{
		{
			ID: "1", Reference: "There is a mass. Pleural effusion.", Candidate: "There is a mass.", Scores: &study.PairScores{Frontal: &mass},
			Changed: &Changed{study.Mass, "No mass."},
		},
		{
			ID: "2", Reference: "No mass.", Candidate: "Possible mass.", Scores: &study.PairScores{Frontal: &low},
			Changed: &Changed{study.Effusion, "There is a mass and a fracture."},
		},
		{ID: "3", Reference: "Fracture.", Candidate: "Fracture."},
	}
	r, err := Evaluate(t.Context(), pairs, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	// Clinical: right 2 (mass, fracture), extra 1 (mass), missed 1 (effusion). F1 mass 2/3, effusion 0, fracture 1.
	near(t, "micro-F1", r.Clinical["micro-F1"], 4./6, 1e-12)
	near(t, "macro-F1", r.Clinical["macro-F1"], (2./3+0+1)/3, 1e-12)
	// Grounding: right 1 (mass), extra 1 (mass of 2), missed 1 (effusion). F1 mass 2/3, effusion 0.
	near(t, "grounding micro-F1", r.Grounding["micro-F1"], 2./4, 1e-12)
	near(t, "grounding macro-F1", r.Grounding["macro-F1"], (2./3+0)/2, 1e-12)
	near(t, "sensitivity", r.Grounding["sensitivity"], 0.5, 1e-12)
	near(t, "specificity", r.Grounding["specificity"], 0.5, 1e-12)
	if worst := r.Worst(1); worst[0] != 1 {
		t.Errorf("the worst pair is %s, want 2", pairs[worst[0]].ID)
	}
	if r.LeftOut[Coco]["METEOR"] == "" {
		t.Error("METEOR 1.5 is missing without a reason")
	}
}

// TestIntervals: the interval of a mean is that of the normal approximation, and the same seed gives the same bytes.
func TestIntervals(t *testing.T) {
	var values []float64
	for i := range 400 {
		values = append(values, float64(i%2)) // mean 0.5, standard error 0.025
	}
	got := MeanInterval(values, 3)
	near(t, "low", got[0], 0.5-1.96*0.025, 0.006)
	near(t, "high", got[1], 0.5+1.96*0.025, 0.006)
	pairs := []Pair{{ID: "a", Reference: "no effusion seen", Candidate: "no effusion"}, {ID: "b", Reference: "a mass", Candidate: "no mass"}}
	var first []byte
	for range 3 {
		r, err := Evaluate(t.Context(), pairs, Options{Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = text
		} else if !bytes.Equal(first, text) {
			t.Error("the same pairs and seed give another report")
		}
	}
}

// TestPageEscapes: a report's text is text on the page, and the page is whole.
func TestPageEscapes(t *testing.T) {
	r, err := Evaluate(t.Context(), []Pair{{ID: "<b>", Reference: "<script>alert(1)</script>", Candidate: "a mass"}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := r.WritePage(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	if strings.Contains(text, "<script>") || !strings.Contains(text, "&lt;script&gt;") || strings.Count(text, "<svg") != 2 {
		t.Error("the page holds unescaped text or lacks its plots")
	}
}

func FuzzReadPairs(f *testing.F) {
	odd, err := os.ReadFile("testdata/odd.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(odd) {
		f.Add(line) // one at a time: the fuzzer spends its time on making long inputs short
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pairs, err := ReadPairs(bytes.NewReader(data))
		if err != nil || len(pairs) > 20 {
			return
		}
		for _, p := range pairs {
			o := overlapOf(fields(p.Reference), fields(p.Candidate))
			sentence, corpus := o.sentenceBLEU(), o.corpusBLEU()
			for _, v := range append(append(sentence[:], corpus[:]...), RougeL(p.Reference, p.Candidate), cocoRougeL(p.Reference, p.Candidate)) {
				if math.IsNaN(v) || v < 0 || v > 1+1e-9 {
					t.Errorf("a figure of %q and %q is %g", p.Reference, p.Candidate, v)
				}
			}
		}
	})
}

// TestLexicon: parts of a text joined are as like another as the whole, whatever was taken apart before.
func TestLexicon(t *testing.T) {
	likeness := func(reference string, parts ...string) (rouge, meteor float64) {
		l := NewLexicon()
		var texts []Text
		for _, s := range append([]string{"An icon of the hearts.", reference}, parts...) {
			text, err := l.Text(s)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, text)
		}
		return l.Likeness(texts[1], Join(texts[2:]...))
	}
	const reference, a, b = "The heart is normal. No pictures of an effusion.", "Heart size is normal.", "No image shows effusions."
	rouge, meteor := likeness(reference, a, b)
	if r, m := likeness(reference, a+" "+b); r != rouge || m != meteor || r != RougeL(reference, a+" "+b) || m <= 0 {
		t.Errorf("ROUGE-L %g and METEOR %g, the whole %g and %g", rouge, meteor, r, m)
	}
}
