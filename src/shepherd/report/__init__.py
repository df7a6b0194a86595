"""What a run says about itself: records, comparisons, pictures, one HTML file."""
