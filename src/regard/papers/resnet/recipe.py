"""Recipe: any network known by name, on images with one label each."""

from regard.training import classification

classify = classification.named
