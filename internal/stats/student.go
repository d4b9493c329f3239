package stats

import "math"

// StudentQuantile returns the t that a Student variable of freedom degrees
// exceeds with probability p, 0 < p < ½ (Hill 1970, algorithm 396: exact for one
// and two degrees, else to five figures or better).
func StudentQuantile(p, freedom float64) float64 {
	both, n := 2*p, freedom
	switch {
	case n <= 1:
		return 1 / math.Tan(both*math.Pi/2)
	case n == 2:
		return math.Sqrt(2/(both*(2-both)) - 2)
	}
	a := 1 / (n - 0.5)
	b := 48 / (a * a)
	c := ((20700*a/b-98)*a-16)*a + 96.36
	d := ((94.5/(b+c)-3)/b + 1) * math.Sqrt(a*math.Pi/2) * n
	y := math.Pow(d*both, 2/n)
	if y > 0.05+a {
		x := -math.Sqrt2 * math.Erfinv(1-both)
		y = x * x
		if n < 5 {
			c += 0.3 * (n - 4.5) * (x + 0.6)
		}
		c = (((0.05*d*x-5)*x-7)*x-2)*x + b + c
		y = (((((0.4*y+6.3)*y+36)*y+94.5)/c-y-3)/b + 1) * x
		y = math.Expm1(a * y * y)
	} else {
		y = ((1/(((n+6)/(n*y)-0.089*d-0.822)*(n+2)*3)+0.5/(n+4))*y-1)*(n+1)/(n+2) + 1/y
	}
	return math.Sqrt(n * y)
}

// studentScales are the variances, in units of the noise, of the means that
// LogStudentEvidence is mixed over.
var studentScales = [...]float64{0.25, 1, 4}

// LogStudentEvidence is the logarithm of an e-value against "the mean is 0" from
// n independent normal values with the given mean and standard deviation, which
// holds at every n (the right Haar mixture of the t test; Pérez-Ortiz, Lardy, de
// Heide and Grünwald 2024). It is 0 for fewer than two values, and for a mean
// that is not positive.
func LogStudentEvidence(n, mean, deviation float64) float64 {
	if n < 2 || mean <= 0 {
		return 0
	}
	// Values without any spread are as good as a very small one.
	t := math.Sqrt(n) * mean / max(deviation, mean*1e-6)
	freedom := n - 1
	var terms [len(studentScales)]float64
	for i, c := range studentScales {
		g := 1 + n*c
		terms[i] = -math.Log(g)/2 + (freedom+1)/2*(math.Log1p(t*t/freedom)-math.Log1p(t*t/(freedom*g)))
	}
	return LogMeanExp(terms[:])
}
