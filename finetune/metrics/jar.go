package metrics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// meteorJar is the program of METEOR 1.5 (Denkowski and Lavie 2014), with data/paraphrase-en.gz in its folder, as pycocoevalcap has both.
const meteorJar = "meteor-1.5.jar"

// ErrNoMeteor is returned where METEOR 1.5 cannot be run.
var ErrNoMeteor = errors.New("METEOR 1.5 is a Java program: it needs java and the folder of " + meteorJar + " (pycocoevalcap/meteor)")

// FindMeteor looks for the folder of METEOR 1.5: pycocoevalcap's in the Python environments given by folder, "" when there is none.
func FindMeteor(environments ...string) string {
	for _, env := range environments {
		for _, pattern := range []string{
			meteorJar, "lib/python3*/site-packages/pycocoevalcap/meteor/" + meteorJar,
			"lib/python3*/dist-packages/pycocoevalcap/meteor/" + meteorJar,
		} {
			if found, err := filepath.Glob(filepath.Join(env, pattern)); err == nil && len(found) > 0 {
				return filepath.Dir(found[0])
			}
		}
	}
	return ""
}

// Shape and weights of METEOR 1.5 for English (task rank): modules exact, stem, synonym, paraphrase.
const (
	jarAlpha, jarBeta, jarGamma, jarDelta = 0.85, 0.2, 0.6, 0.75
	jarModules                            = 4
	jarChunks                             = 4 + 4*jarModules
	jarStatistics                         = jarChunks + 3
)

var jarWeights = [jarModules]float64{1, 0.6, 0.8, 0.6}

// jarRows runs METEOR 1.5 over the pairs as pycocoevalcap does and returns its sufficient statistics for each.
func jarRows(ctx context.Context, folder string, pairs []Pair) ([][]float64, error) {
	java, err := exec.LookPath("java")
	if err != nil || folder == "" {
		return nil, ErrNoMeteor
	}
	if _, err := os.Stat(filepath.Join(folder, meteorJar)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoMeteor, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, java, "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", meteorJar, "-", "-", "-stdio", "-l", "en", "-norm")
	cmd.Dir = folder
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("metrics: METEOR 1.5: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("metrics: METEOR 1.5: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("metrics: METEOR 1.5: %w", err)
	}
	asked := make(chan error, 1)
	go func() { asked <- ask(in, pairs) }()
	rows, err := readRows(out, len(pairs))
	if err != nil {
		cancel()
	}
	askErr := <-asked
	if waitErr := cmd.Wait(); err == nil {
		err = errors.Join(askErr, waitErr)
	}
	if err != nil {
		return nil, fmt.Errorf("metrics: METEOR 1.5: %w", err)
	}
	return rows, nil
}

// ask writes a line for each pair. A line break or a separator in a text would end it.
func ask(in io.WriteCloser, pairs []Pair) error {
	clean := strings.NewReplacer("|||", "", "\n", " ", "\r", " ")
	lines := bufio.NewWriter(in)
	for _, p := range pairs {
		candidate := strings.ReplaceAll(clean.Replace(p.Candidate), "  ", " ")
		fmt.Fprintf(lines, "SCORE ||| %s ||| %s\n", clean.Replace(p.Reference), candidate)
	}
	return errors.Join(lines.Flush(), in.Close())
}

func readRows(out io.Reader, want int) ([][]float64, error) {
	lines := bufio.NewScanner(out)
	var rows [][]float64
	for len(rows) < want && lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != jarStatistics {
			return nil, fmt.Errorf("it answers %q", lines.Text())
		}
		row := make([]float64, len(words))
		for i, w := range words {
			v, err := strconv.ParseFloat(w, 64)
			if err != nil {
				return nil, fmt.Errorf("it answers %q", lines.Text())
			}
			row[i] = v
		}
		if row[jarChunks] == 1 && row[jarChunks+1] == row[0] && row[jarChunks+2] == row[1] {
			row[jarChunks] = 0 // a perfect match is no fragment, alone or summed
		}
		rows = append(rows, row)
	}
	if len(rows) < want {
		return nil, errors.Join(fmt.Errorf("it answered %d of %d pairs", len(rows), want), lines.Err())
	}
	return rows, nil
}

// jarScore is METEOR 1.5 of summed statistics: words and function words of candidate and reference; by module the content and function
// words of each that it matched; chunks, and all matched words of each.
func jarScore(s []float64) float64 {
	side := func(k int) float64 { // 0 candidate, 1 reference
		matched := 0.0
		for m, weight := range jarWeights {
			at := 4 + 4*m + k
			matched += weight * (jarDelta*s[at] + (1-jarDelta)*s[at+2])
		}
		length := jarDelta*(s[k]-s[2+k]) + (1-jarDelta)*s[2+k]
		if length == 0 {
			return 0
		}
		return matched / length
	}
	precision, recall := side(0), side(1)
	if precision == 0 || recall == 0 {
		return 0
	}
	mean := 1 / ((1-jarAlpha)/precision + jarAlpha/recall)
	fragments := s[jarChunks] / ((s[jarChunks+1] + s[jarChunks+2]) / 2)
	return mean * (1 - jarGamma*math.Pow(fragments, jarBeta))
}

func meteorTable(rows [][]float64) *table {
	return &table{Coco, []string{"METEOR"}, rows, func(s []float64) []float64 { return []float64{jarScore(s)} }}
}
