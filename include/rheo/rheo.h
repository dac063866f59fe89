#pragma once

#include "rheo/checkpoint.h"
#include "rheo/config.h"
#include "rheo/dataset.h"
#include "rheo/device.h"
#include "rheo/error.h"
#include "rheo/image.h"
#include "rheo/kernels.h"
#include "rheo/model.h"
#include "rheo/npy.h"
#include "rheo/tensor.h"
#include "rheo/trainer.h"
#include "rheo/version.h"
