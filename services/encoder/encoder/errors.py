"""What can go wrong in the encoder. Knows no HTTP status.

EncoderError
├── ModelFault              the model can not be opened; the service does not start
│   ├── FileMissing         a file the model needs is not there
│   ├── FileDamaged         a file is not what it should be: its hash, its form, a tensor in it
│   ├── ModelUnsupported    an architecture or option that no graph is written for
│   └── GateNotPassed       the prepared model is too far from the one in fp32; it is not published
├── Overloaded              refused at admission, nothing started
├── DeadlinePassed          the deadline came before the embeddings
├── EmbeddingBroken         the model failed on these passages, or gave something that is no embedding
├── EmbeddingsChanged       the model does not give what it gave when it was prepared
├── ModelUnknown            another model was asked for than the one that is served
└── DimensionUnsupported    embeddings were asked for that are shorter or longer than the model's may be
"""


class EncoderError(Exception):
    """The root of the encoder's errors."""


class ModelFault(EncoderError):
    """The model can not be opened; the message says which file, what is wrong and the remedy."""


class FileMissing(ModelFault):
    """A file the model needs is not there."""


class FileDamaged(ModelFault):
    """A file is not what it should be: its hash, its form, a tensor in it."""


class ModelUnsupported(ModelFault):
    """An architecture or option that no graph is written for."""


class GateNotPassed(ModelFault):
    """The prepared model is too far from the one in fp32; it is not published."""


class Overloaded(EncoderError):
    """Refused at admission, nothing started."""


class DeadlinePassed(EncoderError):
    """The deadline came before the embeddings."""


class EmbeddingBroken(EncoderError):
    """The model failed on these passages, or gave something that is no embedding."""


class EmbeddingsChanged(EncoderError):
    """The model does not give what it gave when it was prepared."""


class ModelUnknown(EncoderError):
    """Another model was asked for than the one that is served."""


class DimensionUnsupported(EncoderError):
    """Embeddings were asked for that are shorter or longer than the model's may be."""
