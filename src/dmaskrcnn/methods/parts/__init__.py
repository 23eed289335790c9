"""What methods are built of: domain classifiers, gradient reversal, distillation, pseudo-labels,
adapted norms."""
