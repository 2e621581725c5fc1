"""Drawing of pictures: internals of networks, optical flow, strips for comparison."""
