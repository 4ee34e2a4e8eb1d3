"""Feature specs of two representations, as tests of more than one file want them."""

from pipelines.feature_spec import FeatureSpec

# As the Audio Spectrogram Transformer has them, but for its fixed_frames=1024.
KALDI = FeatureSpec(
    representation="kaldi_fbank",
    sample_rate_hz=16_000,
    window_s=10.0,
    n_fft=512,
    frame_samples=400,
    hop_samples=160,
    num_mels=128,
    f_min_hz=20.0,
)
IQ = FeatureSpec(representation="iq_magnitude", sample_rate_hz=1_000_000, window_s=1024e-6, n_fft=64, hop_samples=16)
