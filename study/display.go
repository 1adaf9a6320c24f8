package study

// Display is how an image's stored values become greys, as the image itself asks for it: what a presentation state must say again, for it
// stands in place of what the image says (PS3.4 N.2).
type Display struct {
	// ModalityLUT or Rescale lead from stored to modality values; neither leaves them as they are.
	ModalityLUT *LUT
	Rescale     *Rescale
	// VOILUT or Window lead from modality values to greys; neither takes the whole range.
	VOILUT *LUT
	Window *Window
	// Inverse shows low values bright: MONOCHROME1, or a Presentation LUT Shape that says so.
	Inverse bool
	// Aspect is the vertical and the horizontal size of a pixel, as whole numbers or lengths.
	Aspect [2]float64
	// Shutter covers what lies outside of it; nil for none.
	Shutter *Shutter
}

// LUT is a look-up table (PS3.3 C.11.1.1 and C.11.2.1.1).
type LUT struct {
	First   int   // value that the first entry is for
	Bits    int   // of an entry
	Entries []int // one for each value from First
}

// Rescale is a line from stored to modality values (PS3.3 C.11.1.1.2).
type Rescale struct {
	Slope, Intercept float64
	Type             string // unit of the modality values, "US" when it is not specified
}

// Window is a VOI LUT by a function (PS3.3 C.11.2.1.2).
type Window struct {
	Center, Width float64
	Function      string // LINEAR, LINEAR_EXACT or SIGMOID
}

// Shutter is a display shutter (PS3.3 C.7.6.11). Numbers are the image's rows and columns from 1, several joined by backslashes.
type Shutter struct {
	Shape                    string // RECTANGULAR, CIRCULAR, POLYGONAL or several of them
	Left, Right, Upper, Down string
	Center, Radius           string
	Vertices                 string
	Presentation             int // P-Value of what is covered
}
