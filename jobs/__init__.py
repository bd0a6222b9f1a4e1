"""The jobs: one file a stage, which reads tables, composes the plan and writes tables."""
