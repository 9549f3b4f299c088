"""The parts of a cropped face: which pixel is skin, hair, glasses, neck, clothes or what lies behind."""
