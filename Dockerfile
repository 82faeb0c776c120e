# declouds in a container, for CPUs and NVIDIA GPUs alike: PyTorch's package brings CUDA along.
#   docker build -t declouds .
#   docker run --rm -v "$PWD:/data" declouds predict scene.tif -o clear.tif
#   docker run --rm --gpus all -v "$PWD:/data" declouds predict scene.tif -o clear.tif
# With what training needs: --build-arg EXTRAS=[train]. For a PyTorch without CUDA, which is gigabytes smaller:
# --build-arg PIP_EXTRA_INDEX_URL=..., the index that PyTorch's installation page gives for CPUs.
FROM python:3.11-slim

ARG EXTRAS=""
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1

WORKDIR /opt/declouds
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY declouds declouds
# MMEngine asks for the OpenCV that opens windows; the headless one takes its place, since there are none here.
RUN pip install ".${EXTRAS}" -c constraints.txt \
 && pip uninstall -y opencv-python \
 && pip install --force-reinstall --no-deps opencv-python-headless -c constraints.txt \
 && declouds --version

# Results belong to whoever mounts the folder: docker run --user "$(id -u):$(id -g)" ...
ENV HOME=/tmp
WORKDIR /data
ENTRYPOINT ["declouds"]
CMD ["--help"]
