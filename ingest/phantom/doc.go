// Package phantom makes synthetic chest studies: an analytic 3-D chest of ellipsoids projected by Beer-Lambert's law along two
// axes, so that the frontal and the lateral radiograph of a Case show the same body and the same lesions. It feeds the trainer of
// the starter models, the tests and the demonstration; nobody was irradiated and nobody is shown.
//
// Coordinates are millimetres: x from the patient's right to left, y from front to back, z downwards from the apex. The frontal
// view looks along y, the lateral along x. Along a ray every ellipsoid is one interval, so that the air in the lungs is exact set
// arithmetic on intervals (lungs minus heart, mediastinum, diaphragm and fluid), while bones, vessels and lesions add their chords.
//
//	c := phantom.New(7, study.Effusion)
//	frontal := c.Project(study.Frontal, 512)
package phantom
