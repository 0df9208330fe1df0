// Included before everything of the freestanding build: the image is one piece, so no symbol needs the
// indirection that a position-independent compiler gives to what may come from elsewhere.
#pragma GCC visibility push(hidden)
