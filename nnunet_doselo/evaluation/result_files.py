"""Where results lie, and what their files say of themselves: `doselo evaluate` and `doselo benchmark` write them,
`doselo report` reads them.

    manifest.json  predictor_card.json            of a benchmark
    comparison.json  comparison.csv
    reference/                                    plans of the true contours
    noise_floor/                                  the true contours evaluated: plans/, evaluation.json
    CONTOURS/                                     a set of contours evaluated: plans/, evaluation.json
    evaluations/TRAINER/fold_N/                   the same of a benchmark, and predictions/, curves.json;
    evaluations/TRAINER/fold_N_seed_M/            where it trains from several seeds
"""

COMPARISON_FILE, COMPARISON_TABLE_FILE, COMPARISON_FORMAT = "comparison.json", "comparison.csv", "doselo-comparison/2"
EVALUATION_FILE, EVALUATION_FORMAT = "evaluation.json", "doselo-evaluation/2"
EVALUATED_BY = "doselo evaluate"

MANIFEST_FILE, MANIFEST_FORMAT = "manifest.json", "doselo-benchmark/1"
PREDICTOR_CARD_FILE = "predictor_card.json"
CURVES_FILE = "curves.json"
COMPARED_BY = "doselo benchmark"

REFERENCE, NOISE_FLOOR, PLANS = "reference", "noise_floor", "plans"
EVALUATIONS, PREDICTIONS = "evaluations", "predictions"
