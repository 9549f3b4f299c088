"""Graphs for ONNX runtimes."""
